import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import type { Logger } from '../base/logger.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { tailDigest } from '../blocks/prefix.ts';
import type { CacheEntry, PayloadFacts } from '../cache/cache-entry.ts';
import { EntryIndex } from '../cache/entry-index.ts';
import { LocalCache } from '../cache/local-cache.ts';
import { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import { Catalog } from '../catalog/catalog.ts';
import { legacyBlockObjectKey } from '../format/object-keys.ts';
import { FaultyObjectStore } from '../objectstore/faulty-object-store.ts';
import type { FaultPicker } from '../objectstore/faulty-object-store.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import type { Clock } from '../platform/clock.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { chainOf } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { blockObject, blocksInBucket, flipBitAt } from '../../test/support/stored-objects.ts';
import { objectKeys, rewriteObject } from '../../test/support/stored-objects.ts';
import { RestingClock } from '../../test/support/resting-clock.ts';
import { Collector } from './collect.ts';
import { Counters } from './counters.ts';
import type { ReadLegacy } from './legacy-namespaces.ts';
import { ObjectTier } from './object-tier.ts';

const keyPrefix = 'kv/test';
const tenant = parseNamespace('tenant');
const kib = 1024;
const minute = 60_000;
/** Bytes of a block in these tests, and of budgets the unit: an object is a few per cent larger. */
const unit = 16 * kib;

test('under budget it lists once, asks nothing else and removes nothing', async (t) => {
  const rig = new Rig(t, { budgetBytes: 100 * unit });
  await rig.put(chainOf('small', 20, unit));
  const before = rig.requests();
  await rig.start();
  for (let look = 0; look < 20; look += 1) await rig.look();
  const { list, get, head, delete: deletes } = rig.requests();
  assert.deepEqual([list - before.list, get, head, deletes], [1, 0, 0, 0]);
  assert.equal((await objectKeys(rig.bucket)).length, 20);
});

test('the bucket is listed again after the interval, for other processes write too', async (t) => {
  const rig = new Rig(t, { budgetBytes: 30 * unit });
  await rig.start();
  await rig.put(chainOf('of-another', 40, unit), { by: rig.otherTier });
  await rig.look();
  assert.ok((await rig.bytes()) > 30 * unit, 'not known yet');
  await rig.clock.advance(limits.collectListMs * 1.3);
  assert.ok((await rig.bytes()) <= 30 * unit);
});

for (const last of ['written', 'loaded or looked up']) {
  test(`the chain that was ${last} least recently goes first, from its end`, async (t) => {
    const rig = new Rig(t, { budgetBytes: 32 * unit });
    const [first, second] = [chainOf('first', 16, unit), chainOf('second', 16, unit)];
    await rig.put(first);
    rig.clock.skip(minute);
    await rig.put(second);
    rig.clock.skip(minute);
    if (last !== 'written') rig.collector.noteUse(tenant, 'block', first.keys);
    rig.clock.skip(10 * minute);
    await rig.start();
    assert.ok((await rig.bytes()) <= 32 * unit * limits.collectTargetShare);
    const [old, recent] = last === 'written' ? [first, second] : [second, first];
    const kept = await rig.leading(old);
    assert.ok(kept > 0 && kept < 16, `${kept} leading blocks are left`);
    assert.equal(await rig.leading(recent), 16);
  });
}

test('a prefix that chains share survives while either was used recently', async (t) => {
  const rig = new Rig(t, { budgetBytes: 24 * unit });
  const left = chainOf('trunk', 16, unit);
  const branch = chainOf('branch', 8, unit);
  await rig.put(left);
  await rig.put(branch, { parent: left.keys[7] });
  rig.clock.skip(minute);
  rig.collector.noteUse(tenant, 'block', [branch.keys[7]]);
  rig.clock.skip(10 * minute);
  await rig.start();
  // Only the end of the branch was noted: all that it hangs on stays for its sake.
  assert.equal(await rig.leading(branch), 8);
  const kept = await rig.leading(left);
  assert.ok(kept >= 8 && kept < 16, `${kept} leading blocks are left`);
});

test('tails go before their tip, and a tail in use keeps its chain', async (t) => {
  const rig = new Rig(t, { budgetBytes: 26 * unit });
  const [plain, used] = [chainOf('plain', 8, unit), chainOf('used', 8, unit)];
  for (const chain of [used, plain]) {
    await rig.put(chain);
    await rig.putTail(chain.keys[7], 6 * unit);
    await rig.putRawTail(chain.keys[7], 2 * unit);
  }
  rig.clock.skip(minute);
  rig.collector.noteUse(tenant, 'tail', [used.keys[7]]);
  rig.clock.skip(10 * minute);
  await rig.start();
  const left = (await objectKeys(rig.bucket)).filter((key) => !key.includes('/block/'));
  assert.equal(left.length, 1);
  assert.ok(left[0].includes(`/tail/${used.keys[7]}/`), 'the tail in use is left');
  assert.deepEqual([await rig.leading(used), await rig.leading(plain)], [8, 8]);
});

test('all namespaces share the budget, and headers are read only where something goes', async (t) => {
  const rig = new Rig(t, { budgetBytes: 32 * unit });
  const other = parseNamespace('a/other');
  const chain = chainOf('both', 16, unit);
  await rig.put(chain);
  rig.clock.skip(minute);
  await rig.put(chain, { namespace: other });
  rig.clock.skip(10 * minute);
  const reads: string[] = [];
  rig.faults = ({ verb, key }) => {
    if (verb === 'get') reads.push(key);
    return undefined;
  };
  await rig.start();
  assert.ok((await rig.bytes()) <= 32 * unit);
  assert.ok((await rig.leading(chain)) < 16);
  assert.equal(await rig.leading(chain, 'a%2Fother'), 16);
  assert.ok(reads.length > 0 && reads.every((key) => key.includes('/tenant/')), reads.join());
});

test('unknown objects count and stay, and v1 objects where these are not read', async (t) => {
  const rig = new Rig(t, { budgetBytes: 20 * unit });
  const chain = chainOf('beside', 8, unit);
  const strangers = [
    `${keyPrefix}/tenant/wombatkv/v1/block/b3=${chain.keys[0]}`,
    `${keyPrefix}/notes.txt`,
    `${keyPrefix}/tenant/wombatkv/v2/block/zz/${chain.keys[0]}`,
  ].map(parseObjectKey);
  for (const key of strangers) await rig.bucket.put(key, [new Uint8Array(5 * unit)]);
  const outside = parseObjectKey('kv/test2/tenant');
  await rig.bucket.put(outside, [new Uint8Array(50 * unit)]);
  await rig.put(chain);
  rig.clock.skip(10 * minute);
  await rig.start();
  const kept = await rig.leading(chain);
  assert.ok(kept > 0 && kept < 5, `${kept} leading blocks are left`);
  await rig.bucket.put(strangers[1], [new Uint8Array(50 * unit)]);
  await rig.clock.advance(limits.collectListMs * 1.3);
  const left = await objectKeys(rig.bucket);
  assert.deepEqual(left, [...strangers, outside].sort());
  assert.ok(rig.errors.some((event) => event.includes('not ours to remove')));
});

test('v1 objects go too, the end of a prefix in use last', async (t) => {
  const rig = new Rig(t, { budgetBytes: 24 * unit, readLegacy: 'on' });
  const [forgotten, used] = [chainOf('v1-forgotten', 16, unit), chainOf('v1-used', 16, unit)];
  // In the order of the chain, so that the time of writing alone would take the beginning first.
  for (const chain of [used, forgotten]) {
    for (const { key, payload } of chain.blocks) await rig.putLegacy(key, payload);
    rig.clock.skip(minute);
  }
  rig.collector.noteUse(tenant, 'block', used.keys);
  rig.clock.skip(10 * minute);
  await rig.start();
  const left = await rig.legacyThere(used);
  assert.deepEqual(left, used.keys, 'the forgotten chain was enough');
  assert.ok((await rig.legacyThere(forgotten)).length < 8);
  assert.ok((await rig.bytes()) <= 24 * unit);
  await rig.bucket.put(parseObjectKey(`${keyPrefix}/notes.txt`), [new Uint8Array(12 * unit)]);
  rig.collector.noteUse(tenant, 'block', used.keys);
  await rig.clock.advance(limits.collectListMs * 1.3);
  const beginning = await rig.legacyThere(used);
  assert.ok(beginning.length > 0 && beginning.length < 12, `${beginning.length} are left`);
  assert.deepEqual(beginning, used.keys.slice(0, beginning.length), 'no hole');
});

test('of a payload in both formats one object goes first, and no older raw tail comes back', async (t) => {
  const rig = new Rig(t, { budgetBytes: 12 * unit, readLegacy: 'on' });
  const chain = chainOf('both-formats', 8, unit);
  const tip = chain.keys[7];
  await rig.putRawTail(tip, unit);
  await rig.put(chain);
  for (const { key, payload } of chain.blocks.slice(0, 4)) await rig.putLegacy(key, payload);
  const legacyTail = `${keyPrefix}/tenant/wombatkv/v1/sidecar/raw_tail/b3=${tip}`;
  rig.clock.skip(minute);
  await rig.bucket.put(parseObjectKey(legacyTail), [new Uint8Array(unit)]);
  let tailsSeen = 0;
  rig.faults = ({ verb, key }) => {
    if (verb === 'delete' && key.includes('raw')) tailsSeen += 1;
    if (verb === 'delete' && key === legacyTail) assert.equal(tailsSeen, 2, 'the older one first');
    return undefined;
  };
  // Known by its own name only: that of the other format must not make it forgotten.
  chain.blocks.forEach(({ key, payload }, at) => rig.admit(key, payload, chain.keys[at - 1]));
  rig.clock.skip(10 * minute);
  await rig.start();
  assert.ok((await rig.bytes()) <= 12 * unit);
  assert.equal(await rig.leading(chain), 8, 'the blocks are there, in one format or both');
  for (const key of chain.keys) {
    assert.ok(rig.cache.find({ namespace: tenant, kind: 'block', key }) !== undefined);
  }
  assert.equal(tailsSeen, 1);
  await rig.bucket.put(parseObjectKey(`${keyPrefix}/notes.txt`), [new Uint8Array(8 * unit)]);
  await rig.clock.advance(limits.collectListMs * 1.3);
  assert.equal(tailsSeen, 2);
});

test('young objects go only when there is nothing else, and no further than the budget', async (t) => {
  const rig = new Rig(t, { budgetBytes: 40 * unit });
  const [old, young] = [chainOf('aged', 8, unit), chainOf('young', 32, unit)];
  await rig.put(old);
  rig.clock.skip(10 * minute);
  await rig.put(young);
  await rig.start();
  assert.equal(await rig.leading(young), 32, 'the old chain was enough');
  assert.ok((await rig.leading(old)) < 8);
  await rig.put(chainOf('younger', 16, unit));
  await rig.look();
  const bytes = await rig.bytes();
  assert.ok(bytes <= 40 * unit && bytes > 38 * unit, `${bytes} bytes are left`);
});

test('a payload that waits for its upload keeps its object and all above it', async (t) => {
  const rig = new Rig(t, { budgetBytes: 10 * unit });
  const [chain, other] = [chainOf('pending', 8, unit), chainOf('free', 8, unit)];
  await rig.put(chain);
  await rig.put(other);
  const last = chain.blocks[5];
  // As after a reply that was lost: the object is there, and so is the pending copy.
  rig.admit(last.key, last.payload, chain.keys[4]).isPending = true;
  // And one that hangs on the chain and is not in the bucket at all.
  const next = chainOf('next', 1, unit);
  const pending = rig.admit(next.keys[0], next.blocks[0].payload, other.keys[3]);
  pending.isPending = true;
  rig.clock.skip(10 * minute);
  await rig.start();
  assert.equal(await rig.leading(chain), 6);
  assert.equal(await rig.leading(other), 4);
  assert.equal(pending.isCurrent, true);
});

test('local copies of what is removed go too, and the catalog is told', async (t) => {
  const rig = new Rig(t, { budgetBytes: 10 * unit });
  const chain = chainOf('copied', 16, unit);
  await rig.put(chain);
  for (const { key, payload } of chain.blocks) rig.admit(key, payload);
  const claims = { namespace: tenant, kind: 'block' as const };
  const early: boolean[] = [];
  rig.faults = ({ verb, key }) => {
    if (verb !== 'delete') return undefined;
    const id = { ...claims, key: parseBlockKey(key.slice(-64)) };
    early.push(rig.catalog.isAbsent(id) && rig.cache.find(id) === undefined);
    return undefined;
  };
  rig.clock.skip(10 * minute);
  await rig.start();
  const kept = await rig.leading(chain);
  // Before the object goes: what is saved while it does must not count as stored.
  assert.deepEqual(early, new Array<boolean>(16 - kept).fill(true));
  chain.keys.forEach((key, index) => {
    const id = { ...claims, key };
    assert.equal(rig.cache.find(id) !== undefined, index < kept, `copy of block ${index}`);
    assert.equal(rig.catalog.presence(id), index < kept ? 'confirmed' : undefined);
  });
});

test('headers are read once, and few of them', async (t) => {
  const rig = new Rig(t, { budgetBytes: 200 * unit });
  const chains = [0, 1, 2, 3].map((index) => chainOf(`long-${index}`, 64, unit));
  for (const chain of chains) await rig.put(chain);
  rig.clock.skip(10 * minute);
  await rig.start();
  assert.ok((await rig.bytes()) <= 200 * unit);
  const { get, delete: deletes } = rig.requests();
  assert.ok(get >= 4 && get <= 16, `${get} headers for 256 blocks`);
  assert.ok(deletes > 60, `${deletes} objects removed`);
  await rig.put(chainOf('one-more', 32, unit));
  await rig.look();
  assert.ok(rig.requests().delete > deletes, 'a second collection');
  assert.ok(rig.requests().get - get <= 8, `${rig.requests().get - get} headers more`);
});

test('what cannot be read hangs on nothing and does not end the collection', async (t) => {
  const rig = new Rig(t, { budgetBytes: 10 * unit });
  const [damaged, gone] = [chainOf('damaged', 12, unit), chainOf('gone', 4, unit)];
  await rig.put(damaged);
  await rig.put(gone);
  const name = { namespace: 'tenant', key: damaged.keys[0] };
  await rewriteObject(rig.bucket, await blockObject(rig.bucket, name), flipBitAt(60));
  const victim = await blockObject(rig.bucket, { namespace: 'tenant', key: gone.keys[3] });
  // Another process removes an object between the list and the reading of headers.
  rig.faults = ({ verb }) => {
    if (verb === 'get') void rig.bucket.delete(victim);
    return undefined;
  };
  rig.clock.skip(10 * minute);
  await rig.start();
  assert.ok((await rig.bytes()) <= 10 * unit);
  assert.equal(rig.counters.corrupt, 1);
});

test('parents that lead round in a circle do not keep their blocks for ever', async (t) => {
  const rig = new Rig(t, { budgetBytes: 6 * unit });
  const ring = chainOf('ring', 8, unit);
  await rig.put(ring, { parent: ring.keys[7] });
  rig.clock.skip(10 * minute);
  await rig.start();
  assert.ok((await rig.bytes()) <= 6 * unit);
});

test('what is used while a collection runs is spared, with all above it', async (t) => {
  const rig = new Rig(t, { budgetBytes: 20 * unit });
  const [first, second] = [chainOf('one', 16, unit), chainOf('two', 16, unit)];
  await rig.put(first);
  rig.clock.skip(minute);
  await rig.put(second);
  rig.clock.skip(10 * minute);
  rig.faults = ({ verb }) => {
    if (verb === 'delete') rig.collector.noteUse(tenant, 'block', [first.keys[9]]);
    return undefined;
  };
  await rig.clock.advance(limits.collectStartMs);
  assert.equal(await rig.leading(first), 10);
});

test('stop ends a collection in its middle, and nothing is removed afterwards', async (t) => {
  const rig = new Rig(t, { budgetBytes: 10 * unit });
  const chains = [0, 1, 2].map((index) => chainOf(`stopped-${index}`, 16, unit));
  for (const chain of chains) await rig.put(chain);
  const stuck = deferred<void>();
  let deletes = 0;
  rig.faults = ({ verb }) => {
    if (verb !== 'delete') return undefined;
    deletes += 1;
    if (deletes < 10) return undefined;
    stuck.resolve();
    return { kind: 'hang' };
  };
  await rig.clock.advance(10 * minute, 'without rest');
  await stuck.promise;
  await rig.collector.stop();
  const left = await objectKeys(rig.bucket);
  for (const chain of chains) await rig.leading(chain);
  await rig.clock.advance(10 * minute, 'without rest');
  assert.deepEqual(await objectKeys(rig.bucket), left);
});

test('stop before the first list and while it waits ends at once', async (t) => {
  const [early, waiting] = [new Rig(t, { budgetBytes: unit }), new Rig(t, { budgetBytes: unit })];
  await early.collector.stop();
  await waiting.start();
  await waiting.collector.stop();
  assert.deepEqual([early.requests().list, waiting.requests().list], [0, 1]);
});

test('a bucket that is gone is tried again with growing waits', async (t) => {
  const rig = new Rig(t, { budgetBytes: 20 * unit });
  await rig.put(chainOf('unreachable', 40, unit));
  rig.faults = () => ({ kind: 'fail-before' });
  await rig.clock.advance(60 * minute);
  const { list } = rig.requests();
  assert.ok(list >= 8 && list <= 25, `${list} lists in an hour`);
  assert.equal(rig.infos.filter((event) => event.includes('tried again')).length, list);
  assert.match(rig.counters.lastFailure ?? '', /injected failure/);
  // The next failure comes in mid-collection.
  let deletes = 0;
  rig.faults = ({ verb }) => {
    if (verb === 'delete') deletes += 1;
    return verb === 'delete' && deletes === 5 ? { kind: 'fail-after' } : undefined;
  };
  await rig.clock.advance(30 * minute);
  assert.ok((await rig.bytes()) <= 20 * unit);
});

test('a request that hangs ends by its time', async (t) => {
  const rig = new Rig(t, { budgetBytes: 20 * unit });
  await rig.put(chainOf('hanging', 40, unit));
  let isHanging = true;
  rig.faults = ({ verb }) => (isHanging && verb === 'get' ? { kind: 'hang' } : undefined);
  await rig.clock.advance(limits.collectStartMs, 'without rest');
  await rig.clock.turns(50);
  isHanging = false;
  await rig.clock.advance(limits.collectRequestMs, 'without rest');
  await rig.clock.advance(limits.collectRetryFirstMs);
  assert.ok((await rig.bytes()) <= 20 * unit);
});

test('two that collect at once do no harm', async (t) => {
  const rig = new Rig(t, { budgetBytes: 40 * unit });
  const chains = [0, 1, 2, 3].map((index) => chainOf(`twice-${index}`, 16, unit));
  for (const chain of chains) {
    await rig.put(chain);
    rig.clock.skip(100);
  }
  const twin = rig.makeCollector(40 * unit);
  t.after(() => twin.stop());
  rig.clock.skip(10 * minute);
  await rig.start();
  const bytes = await rig.bytes();
  assert.ok(bytes <= 40 * unit && bytes >= 20 * unit, `${bytes} bytes are left`);
  assert.equal(await rig.leading(chains[3]), 16);
  assert.deepEqual(rig.errors, []);
});

test('the budget holds under endless new chains', async (t) => {
  const rig = new Rig(t, { budgetBytes: 64 * unit });
  await rig.start();
  for (let round = 0; round < 40; round += 1) {
    const chain = chainOf(`endless-${round}`, 12, unit);
    await rig.put(chain);
    if (round % 3 === 0) await rig.putTail(chain.keys[11], 2 * unit);
    await rig.look();
    const bytes = await rig.bytes();
    assert.ok(bytes <= 64 * unit, `${bytes} bytes after round ${round}`);
    assert.ok((await rig.leading(chain)) >= (round === 0 ? 12 : 1));
    rig.clock.skip(minute);
  }
  assert.deepEqual(rig.errors, []);
});

/** A collector over a bucket in memory, with the parts of a store that it needs. */
class Rig {
  readonly clock = new RestingClock();
  readonly bucket = new MemoryObjectStore(this.clock);
  /** Faults of the bucket as the collector's process sees it. */
  faults: FaultPicker = () => undefined;
  readonly objects = new MeteredObjectStore(
    new FaultyObjectStore(this.bucket, (call) => this.faults(call)),
  );
  readonly cache = new LocalCache({
    memory: new SlabMemoryTier(8 * kib * kib),
    index: new EntryIndex(),
    disk: undefined,
    clock: this.clock,
  });
  readonly catalog = new Catalog(this.clock, nodePlatform().random);
  readonly counters = new Counters();
  readonly errors: string[] = [];
  readonly infos: string[] = [];
  readonly objectTier: ObjectTier;
  /** Of another process on the same bucket. */
  readonly otherTier: ObjectTier;
  readonly collector: Collector;

  constructor(
    t: TestContext,
    { budgetBytes, readLegacy = 'off' }: { budgetBytes: number; readLegacy?: ReadLegacy },
  ) {
    this.objectTier = this.#tierOver(this.objects, readLegacy);
    this.otherTier = this.#tierOver(this.bucket, readLegacy);
    this.collector = this.makeCollector(budgetBytes);
    t.after(() => this.collector.stop());
  }

  makeCollector(budgetBytes: number): Collector {
    const { objects, objectTier, cache, catalog, counters } = this;
    const platform = platformWith(this.clock);
    const parts = { platform, logger: this.#logger(), objects, objectTier, cache, catalog };
    return new Collector({ ...parts, counters, keyPrefix, budgetBytes });
  }

  /** Lets the first look happen, the collection included if one is due. */
  start(): Promise<void> {
    return this.clock.advance(limits.collectStartMs);
  }

  look(): Promise<void> {
    return this.clock.advance(limits.collectLookMs);
  }

  requests(): ReturnType<MeteredObjectStore['snapshot']>['requests'] {
    return this.objects.snapshot().requests;
  }

  bytes(): Promise<number> {
    return bytesOf(this.bucket);
  }

  /** How many leading blocks of the chain have an object; none behind them may have one. */
  async leading(chain: Chain, namespace = 'tenant'): Promise<number> {
    const there = await blocksInBucket(this.bucket, namespace, chain.keys);
    const count = there.indexOf(false) === -1 ? there.length : there.indexOf(false);
    assert.equal(there.lastIndexOf(true) + 1, count, `a hole behind block ${count}`);
    return count;
  }

  /** Puts a chain as uploads do: the last block first, each a millisecond after the other. */
  async put(
    chain: Chain,
    options: { namespace?: Namespace; parent?: BlockKey; by?: ObjectTier } = {},
  ): Promise<void> {
    const { namespace = tenant, by = this.objectTier } = options;
    const facts = chain.blocks.map(({ key, payload }, index) => {
      const parent = index === 0 ? options.parent : chain.keys[index - 1];
      return { ...factsOf(key, payload, parent), namespace };
    });
    for (let index = facts.length - 1; index >= 0; index -= 1) {
      const following = chain.keys.slice(index + 1, index + 1 + limits.followingKeysMax);
      await by.put(facts[index], chain.blocks[index].payload, following, neverAborted);
      this.clock.skip(1);
    }
  }

  putTail(tip: BlockKey, byteLength: number): Promise<unknown> {
    const payload = new Uint8Array(byteLength);
    const facts = { ...factsOf(tailDigest(tip, [7]), payload, tip), kind: 'tail' as const };
    return this.objectTier.put({ ...facts, tokens: 1 }, payload, [], neverAborted);
  }

  putRawTail(tip: BlockKey, byteLength: number): Promise<unknown> {
    const payload = new Uint8Array(byteLength);
    const facts = { ...factsOf(tip, payload), kind: 'raw-tail' as const };
    return this.objectTier.put(facts, payload, [], neverAborted);
  }

  async putLegacy(key: BlockKey, payload: Uint8Array): Promise<void> {
    await this.bucket.put(parseObjectKey(legacyBlockObjectKey(keyPrefix, tenant, key)), [payload]);
    this.clock.skip(1);
  }

  /** Which blocks of the chain have an object of the v1 format, in order. */
  async legacyThere({ keys }: Chain): Promise<readonly BlockKey[]> {
    const there = new Set<string>(await objectKeys(this.bucket));
    return keys.filter((key) => there.has(legacyBlockObjectKey(keyPrefix, tenant, key)));
  }

  /** Takes the block into the memory tier as if it had been fetched. */
  admit(key: BlockKey, payload: Uint8Array, parent?: BlockKey): CacheEntry {
    const extent = this.cache.allocate(payload.length);
    extent.bytes.set(payload);
    const entry = this.cache.admit(factsOf(key, payload, parent), extent, extent.bytes);
    extent.unpin();
    return entry;
  }

  #tierOver(objects: ObjectStore, readLegacy: ReadLegacy): ObjectTier {
    const { catalog, cache, counters } = this;
    const compression = { compress: false, level: 1 };
    const logger = this.#logger();
    const parts = { keyPrefix, catalog, cache, counters, logger, compression };
    const formats = { readLegacy, writeFormat: 'v2' } as const;
    const { clock } = this;
    return new ObjectTier({ objects, clock, transcoder: rawTranscoder, ...parts, ...formats });
  }

  #logger(): Logger {
    return {
      error: (event) => this.errors.push(event),
      info: (event) => this.infos.push(event),
      debug: () => undefined,
    };
  }
}

const neverAborted = new AbortController().signal;

function factsOf(key: BlockKey, payload: Uint8Array, parent?: BlockKey): PayloadFacts {
  return {
    ...{ namespace: tenant, kind: 'block', key, parent, fingerprint: undefined, tokens: 128 },
    ...{ position: undefined, hasDecodedTokens: false },
    ...{ length: payload.length, crc: crc32c(payload) },
  };
}

/** Bytes of all objects under the key prefix. */
async function bytesOf(bucket: ObjectStore): Promise<number> {
  let bytes = 0;
  for (let startAfter: string | undefined; ;) {
    const page = await bucket.list(`${keyPrefix}/`, { startAfter });
    for (const { byteLength } of page.objects) bytes += byteLength;
    startAfter = page.objects.at(-1)?.key;
    if (!page.isTruncated) return bytes;
  }
}

function platformWith(clock: Clock): Platform {
  const real = nodePlatform();
  return { ...real, clock, random: { ...real.random, fraction: () => 0.5 } };
}
