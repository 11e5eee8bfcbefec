import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { chainOf } from '../test/support/chains.ts';
import { patience } from '../test/support/patience.ts';
import { blockObjects } from '../test/support/stored-objects.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import { eventually } from '../test/support/waiting.ts';
import { openObjectStore } from './objectstore/open-object-store.ts';
import { openStore } from './open-store.ts';
import { nodePlatform } from './platform/node-platform.ts';

const mib = 1024 * 1024;
const directory = await makeTemporaryDirectory('evicted');
after(() => directory.remove());

// Goal: "evicted" is told of what local tiers dropped, and "unknown" of what a caller deleted and of
// what never was. Method: fetched from the bucket by a process that did not save it, pushed out of
// small tiers, and removed from the bucket behind its back.
test('a miss tells what was dropped for lack of room from what never was', async () => {
  const objectStore = `file://${directory.path}/objects`;
  const chain = chainOf('evicted', 3, mib / 4);
  const other = chainOf('pushes-out', 48, mib / 2);
  const writer = await openStore({ objectStore, cacheDirectory: false });
  await writer.save([...chain.blocks, ...other.blocks], { durable: true });
  await writer.close();
  const store = await openStore({
    ...{ objectStore, cacheDirectory: `${directory.path}/cache` },
    ...{ memoryBytes: 4 * mib, diskBytes: 8 * mib, ...patience },
  });
  const bucket = openObjectStore(objectStore, nodePlatform());
  try {
    (await store.load(chain.keys)).release();
    // What was fetched is written to disk after a rest.
    await eventually('it is on disk', async () => (await store.stats()).disk.entries === 3);
    await eventually('all was on disk, where most had to go again', async () => {
      for (const key of other.keys) (await store.load([key])).release();
      const { entries, evictions } = (await store.stats()).disk;
      return entries + evictions >= chain.keys.length + other.keys.length;
    });
    for (const object of await blockObjects(bucket, 'default', chain.keys)) {
      await bucket.delete(object);
    }
    const gone = await store.load(chain.keys);
    gone.release();
    assert.deepEqual([gone.blocks.length, gone.reason], [0, 'evicted']);
    assert.deepEqual(await store.lookup(chain.keys), { matched: 0, reason: 'evicted' });
    await store.delete({ kind: 'blocks', keys: chain.keys });
    const never = chainOf('never-stored', 1);
    for (const { keys } of [chain, never]) {
      const missed = await store.load(keys);
      missed.release();
      assert.equal(missed.reason, 'unknown');
    }
    const { misses } = await store.stats();
    assert.deepEqual([misses.evicted, misses.unknown], [1, 2]);
  } finally {
    await bucket.close();
    await store.close();
  }
});
