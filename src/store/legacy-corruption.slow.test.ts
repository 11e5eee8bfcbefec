import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rustNamespaces } from '../../test/golden/rust-bucket.ts';
import type { RustNamespace, RustObject } from '../../test/golden/rust-bucket.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { digestOf, loadDigests, rawTailDigest } from '../../test/support/v1-rig.ts';
import { silentLogger } from '../base/logger.ts';
import { md5Hex } from '../base/md5.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import { loadZstd } from '../format/zstd.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { assembleStore } from './assemble-store.ts';
import { decodeLegacyNow } from './transcoder.ts';

const platform = nodePlatform();
const zstd = loadZstd();
const transcoder = {
  ...rawTranscoder,
  decodeLegacy: async (task: Parameters<typeof decodeLegacyNow>[0]) =>
    decodeLegacyNow(task, () => zstd),
};

/** Where the byte stands that is changed. */
type Place = 'magic' | 'algorithm' | 'level' | 'length' | 'compressed' | 'raw';

/** The bytes of an envelope's header, by what they are. */
const headerPlaces: readonly Place[] = [
  ...Array<Place>(4).fill('magic'),
  'algorithm',
  'level',
  ...Array<Place>(4).fill('length'),
];

/** An object and the call that reads it. */
interface Subject {
  readonly object: RustObject;
  readonly namespace: RustNamespace;
  read(store: KvStore): Promise<string | undefined>;
}

function subjects(): Subject[] {
  return rustNamespaces().flatMap((namespace) => {
    const readBlock = (key: BlockKey) => async (store: KvStore) =>
      (await loadDigests(store, [key])).digests.at(0);
    const { blocks, keys, tip, tail } = namespace;
    return [
      ...blocks.map((object, at) => ({ object, namespace, read: readBlock(keys[at]) })),
      { object: tail, namespace, read: (store: KvStore) => rawTailDigest(store, tip) },
    ];
  });
}

/** A bucket with one object, which tells that MD5 of it. */
async function bucketOf(
  objectKey: string,
  body: Uint8Array,
  md5: string | undefined,
): Promise<ObjectStore> {
  const memory = new MemoryObjectStore(platform.clock);
  await memory.put(parseObjectKey(objectKey), [body]);
  return {
    url: memory.url,
    put: (...call) => memory.put(...call),
    get: async (...call) => {
      const found = await memory.get(...call);
      return found && { ...found, md5 };
    },
    head: (...call) => memory.head(...call),
    list: (...call) => memory.list(...call),
    delete: (...call) => memory.delete(...call),
    close: () => memory.close(),
  };
}

interface Reading {
  /** Digest of what was given, or undefined when nothing was. */
  readonly digest: string | undefined;
  readonly corrupt: number;
}

/** Reads the object, with that body, by a store that has nothing of its own. */
async function readChanged(
  { object, namespace, read }: Subject,
  body: Uint8Array,
  md5: string | undefined,
): Promise<Reading> {
  const objects = await bucketOf(object.objectKey, body, md5);
  const store = await assembleStore({
    ...{ platform, logger: silentLogger, objects, transcoder },
    settings: {
      ...{ namespace: namespace.namespace, keyPrefix: namespace.keyPrefix, readV1: 'on' },
      ...{ cacheDirectory: false, memoryBytes: 2 ** 20, diskBytes: 0, objectStoreBytesMax: false },
      ...{ compression: 'off', compressionLevel: 1, putDurable: false },
      ...{ lookupDeadlineMs: 9000, loadDeadlineMs: 9000, callDeadlineMsMax: 9000 },
    },
  });
  try {
    return { digest: await read(store), corrupt: (await store.stats()).corrupt };
  } finally {
    await store.close();
  }
}

/** All places of the header, and about `count` others, spread over the body. */
function* positionsOf(body: Uint8Array, count: number): Iterable<number> {
  const step = Math.max(1, Math.floor(body.length / count));
  for (let at = 0; at < body.length; at += at < headerPlaces.length ? 1 : step) yield at;
}

/** Changes bytes of every object, one at a time, and hands what a store made of it to `judge`. */
async function sweep(
  isMd5Told: boolean,
  judge: (reading: Reading, place: Place, object: RustObject) => string,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const subject of subjects()) {
    const { object } = subject;
    const md5 = isMd5Told ? md5Hex(object.body) : undefined;
    const sound = await readChanged(subject, object.body, md5);
    assert.deepEqual(sound, { digest: object.blake3, corrupt: 0 }, object.objectKey);
    const changed = object.body.slice();
    for (const at of positionsOf(object.body, 60)) {
      const place = object.isEnveloped ? (headerPlaces.at(at) ?? 'compressed') : 'raw';
      for (const mask of [0xff, 1 << (at % 8)]) {
        changed[at] = object.body[at] ^ mask;
        const reading = await readChanged(subject, changed, md5);
        const outcome = `${place}: ${judge(reading, place, object)}`;
        counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
      }
      changed[at] = object.body[at];
    }
  }
  return counts;
}

function isRefused({ digest, corrupt }: Reading): boolean {
  assert.equal(corrupt, digest === undefined ? 1 : 0, 'what is refused is counted once');
  return digest === undefined;
}

// Goal: to show which changes of a v1 object, as the Rust version wrote it, a store finds. Method:
// every object of the golden bucket, changed at every byte of its header and at others spread over
// its body, read through a store.
describe('corruption of a v1 object', () => {
  it('is always found, and counted once, where the bucket tells its MD5', async (t) => {
    const began = performance.now();
    const counts = await sweep(true, (reading, place, { objectKey }) => {
      assert.ok(isRefused(reading), `${objectKey}: a change of its ${place} went unseen`);
      return 'refused';
    });
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    t.diagnostic(`${seconds} s; ${JSON.stringify(Object.fromEntries(counts))}`);
  });

  // What is not found is what FORMAT says: raw bodies, and compressed data that still decodes.
  it('is found in the header of an envelope where it tells none, and not in raw bodies', async (t) => {
    const began = performance.now();
    const counts = await sweep(false, (reading, place, { objectKey, blake3 }) => {
      const what = `${objectKey}: ${place}`;
      if (isRefused(reading)) {
        assert.ok(place !== 'raw' && place !== 'level', what);
        return 'refused';
      }
      if (place === 'level') assert.equal(reading.digest, blake3, 'the level means nothing');
      else assert.ok(place === 'compressed' || place === 'raw', `${what} went unseen`);
      return reading.digest === blake3 ? 'the same payload' : 'another payload';
    });
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    t.diagnostic(`${seconds} s; ${JSON.stringify(Object.fromEntries(counts))}`);
    assert.ok((counts.get('raw: another payload') ?? 0) > 100, 'nothing can find those');
    assert.equal(counts.get('raw: the same payload'), undefined);
  });

  it('by a cut is found in an envelope, and everywhere where the MD5 is told', async () => {
    for (const subject of subjects()) {
      const { object } = subject;
      for (const length of [0, 1, 4, 9, 10, 11, object.body.length - 1]) {
        if (length >= object.body.length || length < 0) continue;
        const body = object.body.slice(0, length);
        assert.ok(isRefused(await readChanged(subject, body, md5Hex(object.body))));
        const untold = await readChanged(subject, body, undefined);
        // Less than a magic number is not told from a short payload.
        const isFound = object.isEnveloped && length >= 4;
        assert.equal(isRefused(untold), isFound, `${object.objectKey} cut to ${length}`);
        if (!isFound) assert.equal(untold.digest, digestOf(body));
      }
    }
  });
});
