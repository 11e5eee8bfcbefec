import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { DirectoryObjectStore } from '../objectstore/directory-object-store.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import { FaultyObjectStore } from '../objectstore/faulty-object-store.ts';
import type { FaultPicker } from '../objectstore/faulty-object-store.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import type { Clock } from '../platform/clock.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { chainOf } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { blocksInBucket } from '../../test/support/stored-objects.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { eventually } from '../../test/support/waiting.ts';
import { assembleStore } from './assemble-store.ts';
import type { Store } from './store.ts';

const kib = 1024;
const mib = 1024 * kib;
const budgetBytes = 256 * kib;
/** With the segment by which it may be exceeded: an eighth, as of the local log. */
const mostBytes = budgetBytes + budgetBytes / 8;
/** How much faster than the real clock that of these tests is. */
const speed = 100;

// Goal: the budget of a whole store on a directory holds, what is left of each chain is a beginning
// that loads right, and a chain that was removed can be stored anew. Method: a real store with all
// its parts on a disk, whose clock runs fast.
test('a store keeps its directory within the budget and stores anew what was removed', async (t) => {
  const { store, bucket } = await openedStore(t);
  const chains = Array.from({ length: 12 }, (_, index) => chainOf(`store-${index}`, 12, 4 * kib));
  for (const chain of chains) {
    await store.save(chain.blocks);
    await store.saveTail({ tip: chain.keys[11], tokens: [1], payload: new Uint8Array(500) });
    await store.flush();
    await eventually('the budget holds', async () => (await bytesOf(bucket)) <= budgetBytes);
  }
  let cut = 0;
  for (const chain of chains) {
    const kept = await leading(bucket, chain);
    assert.equal((await store.lookup(chain.keys)).matched, kept);
    await assertLoads(store, chain, kept);
    if (kept < 12) cut += 1;
  }
  assert.ok(cut >= 6, `${cut} chains were cut`);
  const [first] = chains;
  const kept = await leading(bucket, first);
  const again = await store.save(first.blocks, { durable: true });
  assert.equal(again.saved, 12 - kept);
  assert.equal(await leading(bucket, first), 12);
});

test('a store that was closed in mid-collection leaves no hole, and the next one goes on', async (t) => {
  let deletes = 0;
  const first = await openedStore(t, ({ verb, key }) => {
    const isCollected = verb === 'delete' && !key.includes('!claims');
    if (isCollected) deletes += 1;
    return isCollected && deletes > 10 ? { kind: 'hang' } : undefined;
  });
  const chains = Array.from({ length: 8 }, (_, index) => chainOf(`closed-${index}`, 12, 4 * kib));
  for (const chain of chains) await first.store.save(chain.blocks);
  await eventually('a collection is under way', async () => deletes > 10);
  await first.store.close();
  assert.ok(first.watched.bytes.mostBytes > budgetBytes * 0.7);
  const next = await openedStore(t, undefined, { path: first.path });
  await next.store.flush();
  await eventually('the budget holds', async () => (await bytesOf(next.bucket)) <= budgetBytes);
  for (const chain of chains) await leading(next.bucket, chain);
});

test('calls go on while the bucket fails the collector, and what has no room is accepted', async (t) => {
  let isFailing = true;
  const { store, bucket, watched } = await openedStore(t, ({ verb }) =>
    isFailing && (verb === 'delete' || verb === 'list') ? { kind: 'fail-before' } : undefined,
  );
  const chains = Array.from({ length: 8 }, (_, index) => chainOf(`failing-${index}`, 12, 4 * kib));
  for (const chain of chains) {
    await store.save(chain.blocks);
    await assertLoads(store, chain, 12);
  }
  await assert.rejects(store.flush(), (error) => isStoreError(error, 'UNAVAILABLE'));
  assert.ok(watched.bytes.mostBytes <= mostBytes);
  isFailing = false;
  await eventually('all is durable', () => store.flush().then(isSo, () => false));
  await eventually('the budget holds', async () => (await bytesOf(bucket)) <= budgetBytes);
});

// Goal: however fast the bucket is filled, it never holds more than its budget and a segment. Method:
// nearly three times the budget is accepted at once and uploaded as fast as a disk takes it; the bytes are
// added up put by put.
test('the bucket is never over its budget by more than a segment', async (t) => {
  const { store, watched, bucket, path } = await openedStore(t);
  const chains = Array.from({ length: 30 }, (_, index) => chainOf(`flood-${index}`, 12, 2 * kib));
  for (const chain of chains) await store.save(chain.blocks);
  await eventually('all is durable', () => store.flush().then(isSo, () => false));
  assert.ok(watched.bytes.putBytes > 2.7 * budgetBytes, `${watched.bytes.putBytes} bytes were put`);
  assert.ok(
    watched.bytes.mostBytes > budgetBytes * 0.9,
    `${watched.bytes.mostBytes} bytes at most`,
  );
  assert.ok(watched.bytes.mostBytes <= mostBytes, `${watched.bytes.mostBytes} bytes at most`);
  for (const chain of chains) await leading(bucket, chain);
  const tooLarge = chainOf('too large', 1, budgetBytes + 1).blocks;
  await assert.rejects(store.save(tooLarge), (error) => isStoreError(error, 'TOO_LARGE'));
  // The next process does not know how full the bucket is until it has listed it.
  await store.close();
  const next = await openedStore(t, undefined, { path, bytes: watched.bytes });
  for (const chain of chains.slice(0, 8)) {
    await next.store.save(chainOf(`${chain.keys[0]}`, 12, 2 * kib).blocks);
  }
  await eventually('all is durable', () => next.store.flush().then(isSo, () => false));
  assert.ok(
    next.watched.bytes.mostBytes <= mostBytes,
    `${next.watched.bytes.mostBytes} bytes at most`,
  );
});

// Goal: the bound holds however many write. Method: four stores with caches of their own fill one
// directory at once, together more than twice its budget, while a claim lies there that a dead process
// left; one count is kept of all their puts and deletes.
test('stores that share a bucket are together never over its budget by more than a segment', async (t) => {
  const first = await openedStore(t);
  const { path, watched } = first;
  const dead = parseObjectKey(`kv/test/!claims/0000000000008192-${'d'.repeat(32)}`);
  await first.bucket.put(dead, []);
  const opened = [first];
  for (const cache of ['second', 'third', 'fourth']) {
    opened.push(await openedStore(t, undefined, { path, cache, bytes: watched.bytes }));
  }
  const chains = opened.map((_, host) =>
    Array.from({ length: 6 }, (__, index) => chainOf(`shared-${host}-${index}`, 12, 2 * kib)),
  );
  await Promise.all(
    opened.map(async ({ store }, host) => {
      for (const chain of chains[host]) await store.save(chain.blocks);
      await eventually('all is durable', () => store.flush().then(isSo, () => false));
    }),
  );
  const { mostBytes: held, putBytes } = watched.bytes;
  assert.ok(putBytes > 2.1 * budgetBytes, `${putBytes} bytes were put`);
  assert.ok(held > budgetBytes * 0.8, `${held} bytes at most`);
  assert.ok(held <= mostBytes, `${held} bytes at most`);
  for (const { store } of opened) await store.close();
  const claims = await first.bucket.list('kv/test/!claims/');
  const left = claims.objects.map(({ key }) => key).filter((key) => !key.endsWith('/last'));
  assert.deepEqual(left, [dead], 'whoever ends takes its claim back');
});

const isSo = (): boolean => true;

/** What lies in a bucket, by what all who write to it put and delete. */
class BucketBytes {
  readonly #sizes = new Map<string, number>();
  #bytes = 0;
  mostBytes = 0;
  putBytes = 0;

  notePut(key: string, size: number): void {
    this.#set(key, size);
    this.putBytes += size;
    this.mostBytes = Math.max(this.mostBytes, this.#bytes);
  }

  noteDeleted(key: string): void {
    this.#set(key, 0);
  }

  #set(key: string, size: number): void {
    this.#bytes += size - (this.#sizes.get(key) ?? 0);
    this.#sizes.set(key, size);
  }
}

/** Adds up what it puts and deletes. */
class WatchedStore implements ObjectStore {
  readonly url: string;
  readonly bytes: BucketBytes;
  readonly #inner: ObjectStore;

  constructor(inner: ObjectStore, bytes: BucketBytes) {
    this.#inner = inner;
    this.url = inner.url;
    this.bytes = bytes;
  }

  async put(
    ...[key, parts, options]: Parameters<ObjectStore['put']>
  ): ReturnType<ObjectStore['put']> {
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    const result = await this.#inner.put(key, parts, options);
    if (result.outcome === 'stored') this.bytes.notePut(key, size);
    return result;
  }

  async delete(...[key, options]: Parameters<ObjectStore['delete']>): Promise<void> {
    await this.#inner.delete(key, options);
    this.bytes.noteDeleted(key);
  }

  get: ObjectStore['get'] = (key, options) => this.#inner.get(key, options);
  head: ObjectStore['head'] = (key, options) => this.#inner.head(key, options);
  list: ObjectStore['list'] = (prefix, options) => this.#inner.list(prefix, options);
  close: ObjectStore['close'] = () => this.#inner.close();
}

interface Opened {
  readonly store: Store;
  readonly watched: WatchedStore;
  /** The bucket behind, without faults. */
  readonly bucket: ObjectStore;
  readonly path: string;
}

/** Where a store is opened: anew, or beside or after another one. */
interface Place {
  readonly path?: string;
  /** Name of the cache directory. */
  readonly cache?: string;
  readonly bytes?: BucketBytes;
}

async function openedStore(
  t: TestContext,
  faults: FaultPicker = () => undefined,
  place: Place = {},
): Promise<Opened> {
  const directory = place.path ?? (await freshDirectory(t));
  const cache = place.cache ?? 'cache';
  const platform = { ...nodePlatform(), clock: fastClock() };
  const objects = new DirectoryObjectStore(nodePlatform(), `${directory}/objects`);
  const watched = new WatchedStore(objects, place.bytes ?? new BucketBytes());
  const store = await assembleStore({
    platform,
    logger: { error: failOn, info: ignore, debug: ignore },
    objects: new FaultyObjectStore(watched, faults),
    transcoder: rawTranscoder,
    settings: {
      ...{ namespace: parseNamespace('default'), keyPrefix: 'kv/test' },
      ...{ cacheDirectory: `${directory}/${cache}`, memoryBytes: 64 * mib, diskBytes: 64 * mib },
      ...{ objectStoreBytesMax: budgetBytes, compression: 'off', compressionLevel: 1 },
      ...{ putDurable: false, lookupDeadlineMs: 10_000, loadDeadlineMs: 10_000 },
      callDeadlineMsMax: limits.flushDeadlineMs,
    },
  });
  t.after(() => store.close());
  const bucket = new DirectoryObjectStore(nodePlatform(), `${directory}/objects`);
  t.after(() => bucket.close());
  return { store, watched, bucket, path: directory };
}

async function freshDirectory(t: TestContext): Promise<string> {
  const directory = await makeTemporaryDirectory('collect');
  t.after(() => directory.remove());
  return directory.path;
}

/** Waits are short and the time flies; deadlines of calls stay as long as they are. */
function fastClock(): Clock {
  const real = nodePlatform().clock;
  const startMs = real.wallMs();
  return {
    wallMs: () => startMs + (real.wallMs() - startMs) * speed,
    nowMs: () => real.nowMs() * speed,
    sleep: (ms, signal) => real.sleep(ms / speed, signal),
    schedule: real.schedule,
    yield: real.yield,
  };
}

function failOn(event: string): void {
  assert.fail(event);
}

function ignore(): void {}

/** How many leading blocks of the chain have an object; none behind them may have one. */
async function leading(bucket: ObjectStore, chain: Chain): Promise<number> {
  const there = await blocksInBucket(bucket, 'default', chain.keys);
  const count = there.indexOf(false) === -1 ? there.length : there.indexOf(false);
  assert.equal(there.lastIndexOf(true) + 1, count, `a hole behind block ${count}`);
  return count;
}

async function assertLoads(store: Store, chain: Chain, count: number): Promise<void> {
  const borrow = await store.load(chain.keys);
  try {
    assert.deepEqual(
      borrow.blocks.map(({ payload }) => Buffer.from(payload)),
      chain.blocks.slice(0, count).map(({ payload }) => Buffer.from(payload)),
    );
  } finally {
    borrow.release();
  }
}

/** Bytes of all objects, of which some may go while they are counted. */
async function bytesOf(bucket: ObjectStore): Promise<number> {
  let bytes = 0;
  for (let startAfter: string | undefined; ;) {
    const page = await bucket.list('kv/test/', { startAfter });
    for (const { byteLength } of page.objects) bytes += byteLength;
    startAfter = page.objects.at(-1)?.key;
    if (!page.isTruncated) return bytes;
  }
}
