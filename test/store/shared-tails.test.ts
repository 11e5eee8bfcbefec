import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { inProcessHarness } from '../support/in-process-world.ts';
import { patience } from '../support/patience.ts';
import { startSharedDaemon } from '../support/shared-daemon.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import type { World } from '../conformance/kv-store-harness.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { PayloadKind } from '../../src/blocks/payload-kind.ts';
import { tailDigest } from '../../src/blocks/prefix.ts';
import { newSharedDirectory } from '../../src/cache/shared-directories.ts';
import { SharedReader } from '../../src/cache/shared-reader.ts';
import { connect } from '../../src/client/connect.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

const space = parseNamespace('default');
const tip = parseBlockKey('7a'.repeat(32));
const tokens = [1, -2, 3];
const digest = tailDigest(tip, tokens);
const length = 100_000;
const bytesOf = (mark: number): Uint8Array => new Uint8Array(length).fill(mark);

/**
 * Goal: clients of a host find a tail by its key where it lies, and of a raw tail the last one that was accepted, whatever
 * became of the one before. Method: the real store, and the reader that clients have, over its files.
 */
describe('tails in the memory of a store that shares it', { skip: withoutNative() }, () => {
  const platform = withNative(nodePlatform(), 'auto');
  let temporary: TemporaryDirectory;
  let world: World;
  let harness: ReturnType<typeof inProcessHarness>;
  let directory: string;
  let store: KvStore;

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('tails');
    harness = inProcessHarness(() => new MemoryObjectStore(platform.clock));
    world = await harness.createWorld();
    store = await open();
  });
  afterEach(async () => {
    await world.dispose();
    await harness.close();
    await temporary.remove();
  });

  async function open(): Promise<KvStore> {
    const host = { ...platform.host, memoryDirectory: temporary.path };
    const fresh = await newSharedDirectory({ ...platform, host });
    assert(fresh !== undefined);
    directory = fresh;
    return world.open('host', { sharedDirectory: directory, memoryBytes: 16 * 1024 * 1024 });
  }

  /** What a client finds under the key: the first byte of it, when all are alike. */
  function found(kind: PayloadKind, key: string, namespace = space): number | undefined {
    assert(platform.sharedMemory !== undefined);
    const reader = SharedReader.open(platform.sharedMemory, directory);
    assert(reader !== undefined);
    const wish = { exact: false, fingerprint: undefined, kind };
    const pins = reader.pin(namespace, [parseBlockKey(key)], wish);
    const payload = pins.blocks.at(0)?.payload;
    const mark = payload?.at(0);
    if (payload !== undefined) assert(Buffer.from(payload).equals(Buffer.alloc(length, mark)));
    pins.release();
    reader.close();
    return mark;
  }

  const save = async (mark: number): Promise<unknown> => store.saveRawTail(tip, bytesOf(mark));

  it('shows a bound tail by its digest, and as nothing else', async () => {
    await store.saveTail({ tip, tokens, payload: bytesOf(1) });
    assert.equal(found('tail', digest), 1);
    assert.equal(found('block', digest), undefined);
    assert.equal(found('raw-tail', digest), undefined);
    assert.equal(found('tail', tip), undefined);
    assert.equal(found('tail', digest, parseNamespace('another')), undefined);
  });

  it('shows a raw tail by its tip, beside a block of the same key', async () => {
    await save(1);
    await store.save([{ key: tip, payload: bytesOf(2) }]);
    assert.deepEqual(
      [found('raw-tail', tip), found('block', tip), found('tail', tip)],
      [1, 2, undefined],
    );
  });

  const befores: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['is in memory alone', () => save(1)],
    ['is in memory and in the bucket', () => save(1).then(() => store.flush())],
    ['is in the log', () => save(1).then(() => inLog())],
    [
      'was read from the log',
      async () => {
        await save(1);
        await restart();
        assert.equal(await load(), 1);
      },
    ],
    [
      'came from the bucket',
      async () => {
        await save(1);
        await store.flush();
        await store.close();
        await world.wipe('host');
        store = await open();
        assert.equal(await load(), 1);
      },
    ],
  ];

  async function restart(): Promise<void> {
    await store.close();
    store = await open();
  }

  async function load(): Promise<number | undefined> {
    const borrow = await store.loadRawTail(tip);
    const mark = borrow?.payload[0];
    borrow?.release();
    return mark;
  }

  const inLog = (): Promise<void> =>
    eventually('the log has it', async () => (await store.stats()).disk.entries > 0);

  for (const [how, before] of befores) {
    it(`shows the last raw tail when the one before ${how}`, async () => {
      await before();
      assert.equal(found('raw-tail', tip), 1);
      for (const mark of [2, 3]) {
        await save(mark);
        assert.deepEqual([found('raw-tail', tip), await load()], [mark, mark]);
      }
      await restart();
      assert.deepEqual([await load(), found('raw-tail', tip)], [3, 3]);
    });
  }

  it('shows what another host has written once that was fetched', async () => {
    await save(1);
    await store.flush();
    const other = await world.open('other');
    await other.saveRawTail(tip, bytesOf(2), { durable: true });
    await eventually('it is fetched', async () => (await load()) === 2);
    assert.equal(found('raw-tail', tip), 2);
  });

  const ends: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['was deleted', () => store.delete({ kind: 'namespace' })],
    ['was evicted', () => fill()],
    ['was left by a store that closed', () => restart()],
  ];

  async function fill(): Promise<void> {
    await store.flush();
    await inLog();
    for (let at = 0; at < 30; at += 1) {
      const key = parseBlockKey(at.toString(16).padStart(64, '0'));
      const payload = new Uint8Array(2 * 1024 * 1024).fill(at);
      await store.save([{ key, payload }], { durable: true });
    }
  }

  for (const [how, end] of ends) {
    it(`shows nothing of what ${how}`, async () => {
      await store.saveTail({ tip, tokens, payload: bytesOf(1) });
      await save(2);
      await end();
      assert.deepEqual([found('tail', digest), found('raw-tail', tip)], [undefined, undefined]);
    });
  }

  it('survives SIGKILL behind each of two saves without a rest', async () => {
    for (const last of [1, 2]) {
      for (let mark = 1; mark <= last; mark += 1) await save(mark);
      await world.crash(store);
      store = await open();
      assert.equal(await load(), last);
    }
  });
});

describe('a client in Node beside its daemon', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let daemon: Daemon;
  let store: KvStore;
  /** The same daemon by its socket. */
  let other: KvStore;

  before(async () => {
    temporary = await makeTemporaryDirectory('tails');
    const started = await startSharedDaemon(temporary.path, 64 * 1024 * 1024);
    daemon = started.daemon;
    store = await connect(started.url.replace('unix:', 'shm:'), patience);
    other = await connect(started.url, patience);
  });
  after(async () => {
    await store.close();
    await other.close();
    await daemon.stop();
    await temporary.remove();
  });

  /** Tails that the daemon gave, by its own count. */
  const given = async (): Promise<number> => (await other.stats()).memory.hits;

  it('loads a tail of all tokens of a query without a call, and others by one', async () => {
    await other.saveTail({ tip, tokens, payload: bytesOf(6) });
    const wishes = [
      { query: tokens, calls: 0 },
      { query: [...tokens, 4], calls: 1 },
    ];
    for (const { query, calls } of wishes) {
      const [before, own] = [await given(), (await store.stats()).memory.hits];
      const borrow = await store.loadTail({ tip, tokens: query });
      assert(borrow !== undefined);
      assert.deepEqual(Buffer.from(borrow.payload), Buffer.alloc(length, 6));
      assert.deepEqual([borrow.tokens, borrow.tier], [tokens.length, 'memory']);
      borrow.release();
      assert.equal((await given()) - before, calls);
      assert.equal((await store.stats()).memory.hits - own, 1);
    }
  });

  it('loads none that its wish refuses', async () => {
    const decoded = { tip, tokens: [7, 8], payload: bytesOf(1), hasDecodedTokens: true };
    await other.saveTail(decoded, { fingerprint: 'ab'.repeat(32) });
    const query = { tip, tokens: [7, 8] };
    assert.equal(await store.loadTail(query, { exact: true }), undefined);
    assert.equal(await store.loadTail(query, { fingerprint: 'cd'.repeat(32) }), undefined);
    const borrow = await store.loadTail(query, { fingerprint: 'ab'.repeat(32) });
    assert.equal(borrow?.hasDecodedTokens, true);
    borrow.release();
  });

  it('refuses what the daemon would refuse', async () => {
    const half = { tip, tokens: [0.5] };
    await assert.rejects(store.loadTail(half), RangeError);
    await assert.rejects(store.loadTail({ tip: 'x' as BlockKey, tokens }), RangeError);
    await assert.rejects(store.loadTail({ tip, tokens }, { deadlineMs: -1 }), RangeError);
  });
});
