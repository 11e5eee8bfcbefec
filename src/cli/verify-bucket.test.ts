import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainOf } from '../../test/support/chains.ts';
import { flipBitAt, objectKeys, rewriteObject } from '../../test/support/stored-objects.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import { openStore } from '../open-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { openObjectStore } from '../objectstore/open-object-store.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { Bucket } from './bucket.ts';
import { ByteGate } from './byte-gate.ts';
import { Progress } from './progress.ts';
import { outputOf } from './terminal.ts';
import { auditBucket } from './verify-bucket.ts';

const platform = nodePlatform();

/** The bucket, in which somebody replaces an object just before it is asked for its tag. */
function replacing(inner: ObjectStore, replacement: Uint8Array): ObjectStore {
  return {
    url: inner.url,
    put: (key, parts, options) => inner.put(key, parts, options),
    get: (key, options) => inner.get(key, options),
    list: (prefix, options) => inner.list(prefix, options),
    delete: (key, options) => inner.delete(key, options),
    close: () => inner.close(),
    head: async (key, options) => {
      await inner.put(key, [replacement]);
      return inner.head(key, options);
    },
  };
}

test('repair leaves an object that was replaced since it was found damaged', async () => {
  const directory = await makeTemporaryDirectory('verify-bucket');
  try {
    const objectStore = `file://${directory.path}/objects`;
    const store = await openStore({ objectStore, cacheDirectory: false });
    await store.save(chainOf('replaced', 1, 1000).blocks, { durable: true });
    await store.close();
    const source = openObjectStore(objectStore, platform);
    const [key] = await objectKeys(source);
    const body = await source.get(key);
    assert.ok(body !== undefined);
    await source.close();
    const objects = new MemoryObjectStore(platform.clock);
    await objects.put(key, [body.bytes]);
    await rewriteObject(objects, key, flipBitAt(-1));
    const replaced = bucketOf(replacing(objects, body.bytes));
    const audit = await auditBucket(replaced, {
      ...{ beginning: '', isRepair: true },
      progress: new Progress(silentOutput(), platform.clock),
    });
    assert.deepEqual(
      audit.findings.map(({ repair }) => repair),
      ['changed'],
    );
    assert.deepEqual((await objects.get(key))?.bytes, body.bytes);
  } finally {
    await directory.remove();
  }
});

test('a gate lets in what fits, in order, and what is larger than all by itself', async () => {
  const gate = new ByteGate(10);
  let inside = 0;
  const order: number[] = [];
  const sizes = [4, 6, 3, 25, 1, 9];
  await Promise.all(
    sizes.map((bytes) =>
      gate.run(bytes, async () => {
        order.push(bytes);
        inside += bytes;
        assert.ok(inside <= 10 || inside === 25, `${inside} bytes inside`);
        await platform.clock.sleep(1);
        inside -= bytes;
      }),
    ),
  );
  assert.deepEqual(order, sizes);
  assert.equal(inside, 0);
});

function bucketOf(objects: ObjectStore): Bucket {
  return { objects, keyPrefix: 'kv/cabi', clock: platform.clock };
}

function silentOutput(): ReturnType<typeof outputOf> {
  return outputOf({ isTTY: false, columns: 80, write: () => true }, undefined);
}
