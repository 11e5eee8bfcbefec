import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { blake3Hex } from '../../src/base/blake3.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore, ObjectVerb } from '../../src/blocks/kv-store.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { openStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { goldenPath } from '../golden/golden.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

/** A directory bucket and the stores that a test opens on it, each a host of its own. */
export class V1Rig {
  readonly bucket: ObjectStore;
  readonly #directory: TemporaryDirectory;
  readonly #stores: KvStore[] = [];

  private constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
    this.bucket = openObjectStore(this.url, nodePlatform());
  }

  static async open(): Promise<V1Rig> {
    return new V1Rig(await makeTemporaryDirectory('v1'));
  }

  get url(): string {
    return pathToFileURL(join(this.#directory.path, 'objects')).href;
  }

  /** The files of the golden bucket, as they are, become the bucket. */
  takeRustBucket(): void {
    cpSync(goldenPath('rust-bucket', 'kv'), join(this.#directory.path, 'objects', 'kv'), {
      recursive: true,
    });
  }

  /** A new host with a cache directory of its own, or none where the configuration says so. */
  async host(config: StoreConfig = {}): Promise<KvStore> {
    const store = await openStore({
      objectStore: this.url,
      // A collector would make lists of its own.
      objectStoreBytesMax: false,
      // What is found counts here, not when.
      lookupDeadlineMs: 20_000,
      cacheDirectory: join(this.#directory.path, `cache-${this.#stores.length}`),
      ...config,
    });
    this.#stores.push(store);
    return store;
  }

  async body(objectKey: string): Promise<Buffer | undefined> {
    const body = await this.bucket.get(parseObjectKey(objectKey));
    return body && Buffer.from(body.bytes);
  }

  async put(objectKey: string, body: Uint8Array): Promise<void> {
    await this.bucket.put(parseObjectKey(objectKey), [body]);
  }

  async close(): Promise<void> {
    for (const store of this.#stores) await store.close();
    await this.bucket.close();
    await this.#directory.remove();
  }
}

/** Lengths and BLAKE3 digests of the blocks that a load gives, and why it ended. */
export async function loadDigests(
  store: KvStore,
  keys: readonly BlockKey[],
  options: Parameters<KvStore['load']>[1] = {},
): Promise<{ readonly digests: readonly string[]; readonly reason: string | undefined }> {
  const borrow = await store.load(keys, options);
  const digests = borrow.blocks.map(({ payload }) => digestOf(payload));
  borrow.release();
  return { digests, reason: borrow.reason };
}

/** The same for a raw tail; undefined when there is none. */
export async function rawTailDigest(
  store: KvStore,
  tip: BlockKey,
  options: Parameters<KvStore['loadRawTail']>[1] = {},
): Promise<string | undefined> {
  const borrow = await store.loadRawTail(tip, options);
  const digest = borrow && digestOf(borrow.payload);
  borrow?.release();
  return digest;
}

export function digestOf(payload: Uint8Array): string {
  return blake3Hex(Uint8Array.from(payload));
}

/** How many requests of each verb the store makes for the task. */
export async function requestsOf(
  store: KvStore,
  task: () => Promise<unknown>,
): Promise<Record<ObjectVerb, number>> {
  const before = (await store.stats()).object.requests;
  await task();
  const after = (await store.stats()).object.requests;
  const verbs = Object.keys(after) as ObjectVerb[];
  const made = verbs.map((verb) => [verb, after[verb] - before[verb]]);
  return Object.fromEntries(made) as Record<ObjectVerb, number>;
}

/** The payload in a v1 body, by the rules of the Rust version and without code of ours. */
export function v1Payload(body: Buffer, decompress: (frame: Buffer) => Uint8Array): Buffer {
  if (body.length < 10 || body.toString('latin1', 0, 4) !== 'WBZ1') return body;
  const content = body.subarray(10);
  const payload = body[4] === 1 ? Buffer.from(decompress(content)) : content;
  assert.ok(body[4] === 0 || body[4] === 1, `algorithm ${body[4]}`);
  assert.equal(payload.length, body.readUInt32LE(6), 'raw length');
  return payload;
}
