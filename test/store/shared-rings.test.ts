import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../src/client/connect.ts';
import type { KvStore, SaveResult } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { startDaemonHome } from '../capi/daemon-home.ts';
import type { DaemonHome } from '../capi/daemon-home.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import { FrameRelay } from '../support/frame-relay.ts';
import { patience } from '../support/patience.ts';
import { assertThere } from '../support/ring-scenes.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';

describe('a client in Node that leaves saves in a ring', { skip: withoutNative() }, () => {
  let home: DaemonHome;
  let directory: TemporaryDirectory;
  let relay: FrameRelay;
  let store: KvStore;
  /** The same daemon as another client sees it. */
  let other: KvStore;
  let path: string;

  before(async () => {
    home = await startDaemonHome({ memory: '192MiB' });
    directory = await makeTemporaryDirectory('relay');
    const run = `${directory.path}/run`;
    await mkdir(run, { mode: 0o700 });
    const daemon = `${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`;
    path = `${run}/capi.sock`;
    await copyFile(`${daemon}.shm`, `${path}.shm`);
    relay = await FrameRelay.open({ path, daemon });
    store = await connect(`shm:${path}`, patience);
    other = await connect(`unix:${daemon}`, patience);
    await haveRing(store);
  });
  after(async () => {
    await store.close();
    await other.close();
    await relay.close();
    await home.close();
    await directory.remove();
  });

  const saves = (): number => relay.received.get('save') ?? 0;
  let probes = 0;

  /** Saves until one is no call: the ring is asked for beside the first. */
  async function haveRing(one: KvStore): Promise<void> {
    await eventually('a save is left in a ring', async () => {
      const before = saves();
      probes += 1;
      await one.save(chainOf(`probe ${probes}`, 1).blocks);
      return saves() === before;
    });
  }

  /** Saves, and says whether that was no call. */
  async function leave(
    blocks: Parameters<KvStore['save']>[0],
    options?: Parameters<KvStore['save']>[1],
  ): Promise<SaveResult> {
    const before = saves();
    const result = await store.save(blocks, options);
    assert.equal(saves(), before, 'the save was no call');
    return result;
  }

  it('makes no calls for short saves, which everybody sees', async () => {
    const chains = Array.from({ length: 40 }, (_, index) => chainOf(`many ${index}`, 3, 4096));
    for (const chain of chains) {
      assert.deepEqual(await leave(chain.blocks), { saved: 3, known: 0, savedBytes: 3 * 4096 });
    }
    for (const chain of chains.slice(0, 20)) await assertThere(other, chain);
    for (const chain of chains.slice(20)) await assertThere(store, chain);
  });

  it('sees what it left in whatever it asks next', async () => {
    const [looked, asked, fetched] = ['lookup', 'contains', 'prefetch'].map((name) =>
      chainOf(name, 2),
    );
    await leave(looked.blocks);
    assert.equal((await store.lookup(looked.keys)).matched, 2);
    await leave(asked.blocks);
    assert.deepEqual(await store.contains(asked.keys), [true, true]);
    await leave(fetched.blocks);
    assert.equal(await store.prefetch(fetched.keys), 2);
    const deleted = chainOf('deleted', 2);
    await leave(deleted.blocks);
    await store.delete({ kind: 'blocks', keys: deleted.keys });
    assert.deepEqual(await store.contains(deleted.keys), [false, false]);
    assert.equal((await leave(deleted.blocks)).saved, 2, 'it is new again');
    await leave(chainOf('flushed', 2).blocks);
    await store.flush();
    assert.equal((await other.stats()).pending, 0);
  });

  it('says what was new, of what is stored and of what it has left itself', async () => {
    const chain = chainOf('new', 6, 500);
    const first = sliceChain(chain, 0, 3).blocks;
    assert.deepEqual(await leave(first), { saved: 3, known: 0, savedBytes: 1500 });
    assert.deepEqual(await leave(first), { saved: 0, known: 3, savedBytes: 0 });
    assert.deepEqual(await leave(chain.blocks), { saved: 3, known: 3, savedBytes: 1500 });
    await store.lookup(chain.keys);
    assert.deepEqual(await leave(chain.blocks), { saved: 0, known: 6, savedBytes: 0 });
    const holed = chainOf('holed', 5, 500);
    await other.save([holed.blocks[1], holed.blocks[3]]);
    assert.deepEqual(await leave(holed.blocks), { saved: 3, known: 2, savedBytes: 1500 });
    await assertThere(other, holed);
    const [block] = chainOf('twice in one', 1, 500).blocks;
    assert.deepEqual(await leave([block, block]), { saved: 1, known: 1, savedBytes: 500 });
    const namespace = parseNamespace('elsewhere');
    assert.equal((await leave(chain.blocks, { namespace })).saved, 6);
    assert.deepEqual(await store.contains(holed.keys.slice(0, 1), { namespace }), [false]);
  });

  it('counts in its statistics, with those of the daemon, what it saved and what was known', async () => {
    const before = await store.stats();
    const chain = chainOf('counted', 4);
    await leave(sliceChain(chain, 0, 2).blocks);
    await leave(chain.blocks);
    await leave(chain.blocks);
    const { saved, known, savedBytes } = await store.stats();
    assert.deepEqual(
      [saved - before.saved, known - before.known, savedBytes - before.savedBytes],
      [4, 6, 4000],
    );
  });

  it('tells the daemon all that frames keep of a block', async () => {
    const chain = chainOf('facts', 2);
    const [one, two] = chain.blocks;
    const fingerprint = 'ab'.repeat(32);
    const [parent] = chainOf('facts parent', 1).keys;
    await leave([one, { ...two, hasDecodedTokens: true }], { fingerprint, parent });
    const borrow = await other.load(chain.keys);
    assert.deepEqual(
      borrow.blocks.map(({ tokens, hasDecodedTokens }) => [tokens, hasDecodedTokens]),
      [
        [128, false],
        [128, true],
      ],
    );
    borrow.release();
    const strange = await other.load(chain.keys, { fingerprint: 'cd'.repeat(32) });
    assert.deepEqual([strange.blocks.length, strange.reason], [0, 'other-fingerprint']);
    strange.release();
  });

  it('calls for what is durable, and refuses what any save refuses', async () => {
    const before = saves();
    await store.save(chainOf('durable', 2).blocks, { durable: true });
    assert.equal(saves(), before + 1);
    const { blocks } = chainOf('refused', 1);
    await assert.rejects(store.save(blocks, { signal: AbortSignal.abort() }), { code: 'ABORTED' });
    await assert.rejects(store.save(blocks, { deadlineMs: -1 }), RangeError);
    await assert.rejects(store.save(blocks, { parent: 'abc' as never }), RangeError);
    // Those are for the daemon to judge, and would spoil the ring.
    for (const namespace of ['', 'n'.repeat(81), '\ud800']) {
      const calls = saves();
      await store.save(blocks, { namespace: namespace as never }).catch(() => undefined);
      assert.equal(saves(), calls + 1);
    }
    await leave(chainOf('refused behind', 1).blocks);
    assert.deepEqual(await store.contains(chainOf('refused', 1).keys), [false]);
  });

  it('puts longer payloads into memory that is lent ahead of need', async () => {
    const results: SaveResult[] = [];
    const before = saves();
    for (let index = 0; index < 10; index += 1) {
      results.push(await store.save(chainOf(`lent ${index}`, 12, 700_000).blocks));
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    assert(saves() - before <= 3, `${saves() - before} of 10 saves were calls`);
    for (const { saved, savedBytes } of results) {
      assert.deepEqual([saved, savedBytes], [12, 12 * 700_000]);
    }
    for (let index = 0; index < 10; index += 1) {
      await assertThere(index % 2 === 0 ? other : store, chainOf(`lent ${index}`, 12, 700_000));
    }
    const { corrupt, damagedRecords } = await other.stats();
    assert.deepEqual([corrupt, damagedRecords], [0, 0]);
  });

  it('has memory for the second save of long payloads, which it asked for with its ring', async () => {
    const fresh = await connect(`shm:${path}`, patience);
    try {
      const told = (): number => relay.received.get('ring-news') ?? 0;
      const before = told();
      await fresh.save(chainOf('first of two', 12, 700_000).blocks);
      await eventually('memory is asked for', () => Promise.resolve(told() > before));
      await new Promise((resolve) => setTimeout(resolve, 500));
      const second = chainOf('second of two', 12, 700_000);
      const calls = saves();
      await fresh.save(second.blocks);
      assert.equal(saves(), calls, 'the save was no call');
      await assertThere(other, second);
    } finally {
      await fresh.close();
    }
  });

  it('leaves sixty blocks of 16 KiB in one entry, and more of them in memory that is lent', async () => {
    const sixty = chainOf('sixty', 60, 16_384);
    await leave(sixty.blocks);
    await assertThere(other, sixty);
    const before = saves();
    for (let index = 0; index < 6; index += 1) {
      await store.save(chainOf(`hundred ${index}`, 100, 16_384).blocks);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    // The first asks for memory, and the ring has some of another length.
    assert(saves() - before <= 4, `${saves() - before} of 6 saves were calls`);
    await assertThere(other, chainOf('hundred 5', 100, 16_384));
  });

  it('saves long payloads side by side, in turns or by calls', async () => {
    const chains = Array.from({ length: 6 }, (_, index) => chainOf(`beside ${index}`, 12, 700_000));
    const results = await Promise.all(chains.map(({ blocks }) => store.save(blocks)));
    assert(results.every(({ saved }) => saved === 12));
    for (const chain of chains) await assertThere(other, chain);
  });

  it('leaves more than a ring holds, without a pause', async () => {
    const before = saves();
    const chains = Array.from({ length: 90 }, (_, index) => chainOf(`full ${index}`, 15, 16_000));
    for (const { blocks } of chains) assert.equal((await store.save(blocks)).saved, 15);
    assert(saves() > before, 'a full ring is no reason to wait');
    for (const chain of chains) await assertThere(other, chain);
  });

  it('loses nothing that it left when it closes, in a save or behind it', async () => {
    const client = await connect(`shm:${path}`, patience);
    await haveRing(client);
    const left = chainOf('closed behind', 2);
    await client.save(left.blocks);
    const long = chainOf('closed meanwhile', 12, 700_000);
    const saving = client.save(long.blocks).then(
      () => true,
      () => false,
    );
    await client.close();
    await assertThere(other, left);
    if (await saving) await assertThere(other, long);
    await assert.rejects(client.save(left.blocks), { code: 'CLOSED' });
  });

  it('goes on with the next daemon, which has what was left with the one before', async () => {
    const left = chainOf('before the end', 3);
    await leave(left.blocks);
    await home.daemon().stop('SIGKILL');
    await home.restart();
    const daemon = `${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`;
    await copyFile(`${daemon}.shm`, `${path}.shm`);
    await assertThere(other, left);
    await haveRing(store);
    const next = chainOf('with the next', 3);
    await leave(next.blocks);
    await assertThere(other, next);
  });
});
