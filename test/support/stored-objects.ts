import assert from 'node:assert/strict';
import { blockKeyLength } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { ObjectKey, ObjectStore } from '../../src/objectstore/object-store.ts';

/** A namespace that needs no escaping in object keys, and the key of a block or tip in it. */
export interface StoredName {
  readonly namespace: string;
  readonly key: BlockKey;
}

/** Every key of the bucket that is not about claims of room, in order. */
export async function objectKeys(bucket: ObjectStore): Promise<ObjectKey[]> {
  return (await allObjectKeys(bucket)).filter((key) => !`/${key}`.includes('/!claims/'));
}

/** Every key of the bucket, in order. */
export async function allObjectKeys(bucket: ObjectStore): Promise<ObjectKey[]> {
  const keys: ObjectKey[] = [];
  for (;;) {
    const page = await bucket.list('', { startAfter: keys.at(-1) });
    keys.push(...page.objects.map((object) => object.key));
    if (!page.isTruncated) return keys;
  }
}

/** Keys of the objects of all blocks, tails and raw tails, in order. */
export async function payloadObjects(bucket: ObjectStore): Promise<ObjectKey[]> {
  const form = /\/wombatkv\/v2\/(block|tail|rawtail)\//;
  return (await objectKeys(bucket)).filter((key) => form.test(`/${key}`));
}

/** The key of the block's object, which must be there. */
export async function blockObject(bucket: ObjectStore, name: StoredName): Promise<ObjectKey> {
  const [found] = await blockObjects(bucket, name.namespace, [name.key]);
  return found;
}

/** The keys of the blocks' objects, which must be there. */
export async function blockObjects(
  bucket: ObjectStore,
  namespace: string,
  keys: readonly BlockKey[],
): Promise<ObjectKey[]> {
  const inBucket = await objectByBlock(bucket, namespace);
  return keys.map((key) => {
    const found = inBucket.get(key);
    assert.ok(found !== undefined, `no object of block ${key} in ${namespace}`);
    return found;
  });
}

/** Which of these blocks have an object. */
export async function blocksInBucket(
  bucket: ObjectStore,
  namespace: string,
  keys: readonly BlockKey[],
): Promise<boolean[]> {
  const inBucket = await objectByBlock(bucket, namespace);
  return keys.map((key) => inBucket.has(key));
}

async function objectByBlock(
  bucket: ObjectStore,
  namespace: string,
): Promise<Map<string, ObjectKey>> {
  const found = new Map<string, ObjectKey>();
  for (const objectKey of await objectKeys(bucket)) {
    const key = objectKey.slice(-blockKeyLength);
    const end = `/${namespace}/wombatkv/v2/block/${key.slice(0, 2)}/${key}`;
    if (`/${objectKey}`.endsWith(end)) found.set(key, objectKey);
  }
  return found;
}

/** Keys of the objects of all tails under the tip. */
export async function tailObjects(
  bucket: ObjectStore,
  { namespace, key }: StoredName,
): Promise<ObjectKey[]> {
  const part = `/${namespace}/wombatkv/v2/tail/${key}/`;
  return (await objectKeys(bucket)).filter((objectKey) => `/${objectKey}`.includes(part));
}

/** Key of the object of the raw tail under the tip, if any. */
export async function rawTailObject(
  bucket: ObjectStore,
  { namespace, key }: StoredName,
): Promise<ObjectKey | undefined> {
  const end = `/${namespace}/wombatkv/v2/rawtail/${key}`;
  return (await objectKeys(bucket)).find((objectKey) => `/${objectKey}`.endsWith(end));
}

/** The object's bytes, which must be there. */
export async function readObject(bucket: ObjectStore, key: ObjectKey): Promise<Uint8Array> {
  const body = await bucket.get(key);
  assert.ok(body !== undefined, `no object ${key}`);
  return body.bytes;
}

/** Puts what `change` makes of a copy of the object's bytes in its place. */
export async function rewriteObject(
  bucket: ObjectStore,
  key: ObjectKey,
  change: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  await bucket.put(key, [change(Uint8Array.from(await readObject(bucket, key)))]);
}

/** A change for {@link rewriteObject}: one bit flipped. Negative offsets count from the end. */
export function flipBitAt(offset: number): (bytes: Uint8Array) => Uint8Array {
  return (bytes) => {
    const at = offset < 0 ? bytes.length + offset : offset;
    assert.ok(at >= 0 && at < bytes.length, `no byte ${offset} in an object of ${bytes.length}`);
    bytes[at] ^= 0x10;
    return bytes;
  };
}
