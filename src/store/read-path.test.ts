import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Borrow, CallOptions } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { FaultPicker, ObjectFault } from '../objectstore/faulty-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { factsOf, tenant } from '../../test/support/cached-payloads.ts';
import { chainOf, chainOfSizes } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { seededRandom } from '../../test/support/random.ts';
import type { SeededRandom } from '../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { UploadRig } from '../../test/support/upload-rig.ts';
import { eventually } from '../../test/support/waiting.ts';
import { Call } from './call.ts';
import { ReadPath } from './read-path.ts';

const root = await makeTemporaryDirectory('read-path');
after(() => root.remove());

const loadDeadlineMs = 10_000;

/** A read path over real tiers, whose bucket and clock are in the hands of the test. */
class Rig {
  readonly parts: UploadRig;
  readonly readPath: ReadPath;
  /** Keys of the objects that were asked for with GET, in order. */
  readonly gets: string[] = [];
  faults: FaultPicker = () => undefined;

  private constructor(parts: UploadRig) {
    this.parts = parts;
    const { clock, cache, catalog, counters, objectTier } = parts;
    this.readPath = new ReadPath({ clock, cache, catalog, counters, objectTier, loadDeadlineMs });
    parts.faults = (call) => {
      if (call.verb === 'get') this.gets.push(call.key);
      return this.faults(call);
    };
  }

  static async open(): Promise<Rig> {
    return new Rig(await UploadRig.open(`${root.path}/${nodePlatform().random.hex(8)}`));
  }

  /** Puts the chain into the bucket, as another host would: nothing here knows of it. */
  async put(chain: Chain): Promise<void> {
    const { objectTier, catalog } = this.parts;
    for (const { key, payload } of chain.blocks) {
      const facts = { ...factsOf('', payload), key };
      await objectTier.put(facts, payload, [], new AbortController().signal);
      catalog.forget(facts);
    }
  }

  load(keys: readonly BlockKey[], options?: CallOptions): Promise<Borrow> {
    return Call.run(this.parts.clock, options, loadDeadlineMs, (call) =>
      this.readPath.load(tenant, keys, call),
    );
  }

  get pinnedBytes(): number {
    return this.parts.cache.memory.usage.pinnedBytes;
  }

  /** Waits until nobody holds memory any more, which everything here comes to without help. */
  async assertNothingPinned(): Promise<void> {
    await eventually('nothing is pinned', async () => {
      this.parts.clock.advance(loadDeadlineMs);
      await this.parts.settle();
      return this.pinnedBytes === 0;
    });
  }
}

/** Checks a load's blocks against the chain and gives how many there are. */
function checkBlocks({ blocks }: Borrow, chain: Chain, start = 0): number {
  for (const [index, block] of blocks.entries()) {
    assert.equal(block.key, chain.keys[start + index]);
    const expected = chain.blocks[start + index].payload;
    assert.equal(block.payload.length, expected.length);
    assert.equal(crc32c(block.payload), crc32c(expected), `block ${start + index}`);
  }
  return blocks.length;
}

/** Faults that let every GET wait at a gate, and count how many do. */
class Gate {
  readonly opened = deferred<void>();
  waiting = 0;
  waitingMost = 0;
  readonly aborted: unknown[] = [];

  readonly picker: FaultPicker = ({ verb }) =>
    verb === 'get' ? { kind: 'delay', wait: (signal) => this.#wait(signal) } : undefined;

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    this.waiting += 1;
    this.waitingMost = Math.max(this.waitingMost, this.waiting);
    signal?.addEventListener('abort', () => this.aborted.push(signal.reason), { once: true });
    await this.opened.promise;
    this.waiting -= 1;
  }
}

describe('ReadPath and requests', () => {
  it('fetches a block once for many that load it at once', async () => {
    const rig = await Rig.open();
    const chain = chainOf('shared', 5, 2000);
    await rig.put(chain);
    const gate = new Gate();
    rig.faults = gate.picker;
    const loads = Array.from({ length: 30 }, (_, index) =>
      rig.load(chain.keys.slice(0, 1 + (index % 5))),
    );
    await eventually('all five are asked for', async () => gate.waiting === 5);
    await rig.parts.settle();
    gate.opened.resolve();
    const borrows = await Promise.all(loads);
    assert.equal(rig.gets.length, 5);
    for (const [index, borrow] of borrows.entries()) {
      assert.equal(checkBlocks(borrow, chain), 1 + (index % 5));
      for (const { tier } of borrow.blocks) assert.equal(tier, 'object');
    }
    assert.equal(rig.pinnedBytes > 0, true);
    for (const borrow of borrows) borrow.release();
    await rig.assertNothingPinned();
    const again = await rig.load(chain.keys);
    assert.deepEqual([checkBlocks(again, chain), again.blocks[0].tier], [5, 'memory']);
    assert.equal(rig.gets.length, 5);
    again.release();
    await rig.parts.close();
  });

  it('has as many requests under way for one load as it may, in the order of the chain', async () => {
    const rig = await Rig.open();
    const chain = chainOf('parallel', 40, 500);
    await rig.put(chain);
    const gate = new Gate();
    rig.faults = gate.picker;
    const loading = rig.load(chain.keys);
    await eventually('some are asked for', async () => gate.waiting >= limits.loadsInFlightMax);
    await rig.parts.settle();
    assert.equal(gate.waiting, limits.loadsInFlightMax);
    gate.opened.resolve();
    const borrow = await loading;
    assert.equal(checkBlocks(borrow, chain), 40);
    assert.equal(gate.waitingMost, limits.loadsInFlightMax);
    const order = rig.gets.map((key) => chain.keys.findIndex((one) => key.endsWith(one)));
    for (const [at, place] of order.entries()) {
      assert.ok(Math.abs(at - place) < limits.loadsInFlightMax, `${place} came as ${at}`);
    }
    borrow.release();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });

  it('asks for little behind the first block that is missing', async () => {
    const rig = await Rig.open();
    const chain = chainOf('hole', 120, 500);
    await rig.put({ ...chain, blocks: chain.blocks.filter((_, index) => index !== 10) });
    const borrow = await rig.load(chain.keys);
    assert.deepEqual([checkBlocks(borrow, chain), borrow.reason], [10, 'unknown']);
    assert.ok(rig.gets.length <= 11 + 2 * limits.loadsInFlightMax, `${rig.gets.length} requests`);
    borrow.release();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });

  it('asks for at most eight at a time in contains() too', async () => {
    const rig = await Rig.open();
    const chain = chainOf('contained', 30, 100);
    await rig.put({ ...chain, blocks: chain.blocks.filter((_, index) => index % 3 !== 0) });
    let waiting = 0;
    let most = 0;
    rig.faults = ({ verb }) => {
      assert.equal(verb, 'head');
      const wait = async (): Promise<void> => {
        waiting += 1;
        most = Math.max(most, waiting);
        await rig.parts.clock.yield();
        waiting -= 1;
      };
      return { kind: 'delay', wait };
    };
    const there = await Call.run(rig.parts.clock, undefined, 1000, (call) =>
      rig.readPath.contains(tenant, chain.keys, call),
    );
    assert.deepEqual(
      there,
      chain.keys.map((_, index) => index % 3 !== 0),
    );
    assert.equal(most, limits.fetchesInFlightMax);
    await rig.parts.close();
  });
});

describe('ReadPath and callers who leave', () => {
  it('goes on with a fetch for those who still wait', async () => {
    const rig = await Rig.open();
    const chain = chainOf('stays', 1, 2000);
    await rig.put(chain);
    const gate = new Gate();
    rig.faults = gate.picker;
    const caller = new AbortController();
    const leaving = rig.load(chain.keys, { signal: caller.signal });
    const staying = rig.load(chain.keys);
    await eventually('it is asked for', async () => gate.waiting === 1);
    caller.abort();
    await assert.rejects(leaving, (error) => isStoreError(error, 'ABORTED'));
    assert.deepEqual(gate.aborted, []);
    gate.opened.resolve();
    const borrow = await staying;
    assert.equal(checkBlocks(borrow, chain), 1);
    borrow.release();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });

  it('ends a fetch that everybody has left, and a new load starts a new one', async () => {
    const rig = await Rig.open();
    const chain = chainOf('left', 1, 2000);
    await rig.put(chain);
    const gate = new Gate();
    rig.faults = gate.picker;
    const callers = [new AbortController(), new AbortController()];
    const loads = callers.map(({ signal }) => rig.load(chain.keys, { signal }));
    await eventually('it is asked for', async () => gate.waiting === 1);
    for (const caller of callers) caller.abort();
    for (const load of loads) await assert.rejects(load);
    assert.equal(gate.aborted.length, 1);
    rig.faults = () => undefined;
    const borrow = await rig.load(chain.keys);
    assert.equal(checkBlocks(borrow, chain), 1);
    assert.equal(rig.gets.length, 2);
    borrow.release();
    gate.opened.resolve();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });

  it('gives what came before the deadline, and gives back what comes after it', async () => {
    const rig = await Rig.open();
    const chain = chainOf('late', 3, 2000);
    await rig.put(chain);
    const gate = new Gate();
    rig.faults = (call) => (call.key.endsWith(chain.keys[2]) ? gate.picker(call) : undefined);
    const loading = rig.load(chain.keys, { deadlineMs: 100 });
    await eventually('the last one is asked for', async () => gate.waiting === 1);
    await eventually('the others are here', async () => rig.pinnedBytes >= 4000);
    rig.parts.clock.advance(100);
    const borrow = await loading;
    assert.deepEqual([checkBlocks(borrow, chain), borrow.reason], [2, 'deadline']);
    borrow.release();
    gate.opened.resolve();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });
});

describe('ReadPath and the deadline of a fetch', () => {
  it('gives back what is checked only after it', async () => {
    const rig = await Rig.open();
    const chain = chainOf('checked late', 2, 2000);
    await rig.put(chain);
    const checking = deferred<void>();
    rig.parts.decodeGate = checking.promise;
    const loading = rig.load(chain.keys, { deadlineMs: 10 * loadDeadlineMs });
    await eventually('both are fetched', async () => rig.pinnedBytes > 4000);
    await rig.parts.settle();
    rig.parts.clock.advance(loadDeadlineMs);
    const borrow = await loading;
    assert.deepEqual([borrow.blocks.length, borrow.reason], [0, 'deadline']);
    checking.resolve();
    await rig.assertNothingPinned();
    rig.parts.decodeGate = undefined;
    const again = await rig.load(chain.keys);
    assert.equal(checkBlocks(again, chain), 2);
    again.release();
    await rig.parts.close();
  });
});

describe('ReadPath and what is wrong', () => {
  const cases: readonly (readonly [string, ObjectFault, string])[] = [
    ['an absent object', { kind: 'absent', at: 0 }, 'unknown'],
    ['a request that fails', { kind: 'fail-before' }, 'unavailable'],
    ['a lost reply', { kind: 'fail-after' }, 'unavailable'],
    ['a flipped bit in the header', { kind: 'corrupt', at: 0.01 }, 'corrupt'],
    ['a flipped bit in the payload', { kind: 'corrupt', at: 0.9 }, 'corrupt'],
    ['a body that ends early', { kind: 'truncate', at: 0.7 }, 'corrupt'],
    ['a body without its header', { kind: 'truncate', at: 0.01 }, 'corrupt'],
    ['an empty body', { kind: 'truncate', at: 0 }, 'corrupt'],
  ];
  for (const [what, fault, reason] of cases) {
    it(`ends a load at ${what} with reason ${reason}`, async () => {
      const rig = await Rig.open();
      const chain = chainOf('wrong', 4, 2000);
      await rig.put(chain);
      rig.faults = ({ verb, key }) =>
        verb === 'get' && key.endsWith(chain.keys[2]) ? fault : undefined;
      const borrow = await rig.load(chain.keys);
      assert.deepEqual([checkBlocks(borrow, chain), borrow.reason], [2, reason]);
      assert.equal(rig.parts.counters.corrupt, reason === 'corrupt' ? 1 : 0);
      borrow.release();
      await rig.assertNothingPinned();
      await rig.parts.close();
    });
  }

  it('fetches anew what is damaged on disk, and keeps it', async () => {
    const rig = await Rig.open();
    const chain = chainOf('damaged', 2, 2000);
    const entries = await rig.parts.save(chain);
    await rig.parts.finish();
    for (const { extent } of entries) assert.ok(extent !== undefined);
    await rig.parts.damage(entries[1]);
    evictAll(rig);
    const borrow = await rig.load(chain.keys);
    assert.equal(checkBlocks(borrow, chain), 2);
    assert.deepEqual(
      borrow.blocks.map(({ tier }) => tier),
      ['disk', 'object'],
    );
    assert.equal(rig.parts.cache.damaged, 1);
    borrow.release();
    const again = await rig.load(chain.keys);
    assert.equal(again.blocks[1].tier, 'memory');
    again.release();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });

  it('takes from the bucket what the disk refuses to give, but not what is pending', async () => {
    const rig = await Rig.open();
    const chain = chainOf('refused', 1, 2000);
    await rig.parts.save(chain);
    await rig.parts.finish();
    evictAll(rig);
    rig.faults = ({ verb }) => (verb === 'put' ? { kind: 'fail-before' } : undefined);
    const pending = chainOf('pending', 1, 2000);
    await rig.parts.save(pending);
    await rig.parts.rest(1);
    evictAll(rig);
    rig.parts.isUnreadable = true;
    const borrow = await rig.load(chain.keys);
    assert.deepEqual([checkBlocks(borrow, chain), borrow.blocks[0].tier], [1, 'object']);
    borrow.release();
    const none = await rig.load(pending.keys);
    assert.deepEqual([none.blocks.length, none.reason], [0, 'unavailable']);
    rig.parts.isUnreadable = false;
    const later = await rig.load(pending.keys);
    assert.deepEqual([checkBlocks(later, pending), later.blocks[0].tier], [1, 'disk']);
    later.release();
    await rig.assertNothingPinned();
    await rig.parts.close();
  });
});

/** Takes all memory for a moment, so that nothing stays resident. */
function evictAll(rig: Rig): void {
  const { memory } = rig.parts.cache;
  const extents = [];
  for (;;) {
    const extent = memory.allocate(4096);
    if (extent === undefined) break;
    extents.push(extent);
  }
  for (const extent of extents) extent.unpin();
  assert.equal(memory.usage.entries, 0);
}

describe('ReadPath and pins', () => {
  /** A fault for one request out of a few, of any kind. */
  function randomFault(random: SeededRandom): ObjectFault | undefined {
    const at = random.below(1000) / 1000;
    const waits = random.below(5);
    const kinds: readonly ObjectFault[] = [
      { kind: 'fail-before' },
      { kind: 'fail-after' },
      { kind: 'hang' },
      { kind: 'corrupt', at },
      { kind: 'truncate', at },
      { kind: 'absent', at },
      { kind: 'delay', wait: () => turnsLater(waits) },
    ];
    return random.below(3) === 0 ? kinds[random.below(kinds.length)] : undefined;
  }

  /** Borrows of one run that are not released yet, and loads that have not settled. */
  interface Held {
    readonly borrows: Borrow[];
    readonly loads: Promise<void>[];
  }

  function startLoad(rig: Rig, chain: Chain, random: SeededRandom, held: Held): void {
    const start = random.below(chain.keys.length);
    const keys = chain.keys.slice(start, start + 1 + random.below(12));
    const caller = new AbortController();
    const deadlineMs = random.below(4) === 0 ? random.below(50) : undefined;
    const load = rig.load(keys, { signal: caller.signal, deadlineMs }).then(
      (borrow) => {
        checkBlocks(borrow, chain, start);
        if (random.below(2) === 0) held.borrows.push(borrow);
        else borrow.release();
      },
      (error: unknown) => assert.ok(isStoreError(error, 'ABORTED'), String(error)),
    );
    held.loads.push(load);
    const turns = random.below(30);
    if (random.below(3) === 0) void abortAfter(turns, caller);
  }

  async function abortAfter(turns: number, caller: AbortController): Promise<void> {
    await turnsLater(turns);
    caller.abort();
  }

  async function turnsLater(turns: number): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
  }

  /** Anything else that happens to a store: time passes, blocks are removed, memory is scarce. */
  async function disturb(rig: Rig, chain: Chain, random: SeededRandom, held: Held): Promise<void> {
    const { cache, clock } = rig.parts;
    switch (random.below(4)) {
      case 0:
        clock.advance(random.below(2) === 0 ? random.below(600) : loadDeadlineMs);
        break;
      case 1: {
        const key = chain.keys[random.below(chain.keys.length)];
        const entry = cache.find({ namespace: tenant, kind: 'block', key });
        if (entry !== undefined) await cache.remove(entry);
        break;
      }
      case 2:
        for (const borrow of held.borrows.splice(0, random.below(4))) {
          borrow.release();
          borrow.release();
        }
        break;
      default:
        await clock.yield();
    }
  }

  // Goal: on every path each extent is unpinned exactly once: never twice, which the memory tier
  // asserts, and never not at all. Method: loads that overlap, end early and fail in every way, with
  // more blocks than memory; then everybody lets go, and nothing may be pinned.
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    it(`are all given back after random loads, aborts and faults (seed ${seed})`, async () => {
      const rig = await Rig.open();
      const random = seededRandom(`pins/${seed}`);
      const sizes = Array.from({ length: 48 }, () => random.below(4) * random.below(30_000));
      const chain = chainOfSizes(`pins-${seed}`, sizes);
      await rig.put(chain);
      const held: Held = { borrows: [], loads: [] };
      rig.faults = ({ verb }) => (verb === 'get' ? randomFault(random) : undefined);
      for (let step = 0; step < 300; step += 1) {
        if (random.below(20) === 0) rig.parts.decodeGate = turnsLater(random.below(20));
        if (random.below(2) === 0) startLoad(rig, chain, random, held);
        else await disturb(rig, chain, random, held);
        const { slabBytes, budgetBytes } = rig.parts.cache.memory.usage;
        assert.ok(slabBytes <= budgetBytes);
      }
      rig.faults = () => undefined;
      const all = Promise.all(held.loads);
      let isDone = false;
      void all.then(() => {
        isDone = true;
      });
      await eventually('every load ends', async () => {
        rig.parts.clock.advance(loadDeadlineMs);
        await rig.parts.settle();
        return isDone;
      });
      for (const borrow of held.borrows.splice(0)) borrow.release();
      await rig.assertNothingPinned();
      rig.parts.clock.advance(limits.corruptMs);
      const last = await rig.load(chain.keys);
      assert.deepEqual([checkBlocks(last, chain), last.reason], [48, undefined]);
      last.release();
      await rig.assertNothingPinned();
      await rig.parts.close();
    });
  }
});
