import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore, StoreStats } from '../../src/blocks/kv-store.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import { historyWorld } from './crash-history.ts';
import { cacheDirectory } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const headerBytes = 192;
const payloadBytes = 120;
const tokens = [3, 1, 4, 1, 5];

/** How a tail of that kind is saved, so that it is in the bucket, and loaded. */
interface TailKind {
  readonly name: string;
  save(store: KvStore, tip: BlockKey, payload: Uint8Array): Promise<unknown>;
  load(store: KvStore, tip: BlockKey): Promise<{ release(): void } | undefined>;
}

const kinds: readonly TailKind[] = [
  {
    name: 'tail',
    save: (store, tip, payload) => store.saveTail({ tip, tokens, payload }),
    load: (store, tip) => store.loadTail({ tip, tokens }),
  },
  {
    name: 'raw tail',
    save: (store, tip, payload) => store.saveRawTail(tip, payload),
    load: (store, tip) => store.loadRawTail(tip),
  },
];

/** Saves, changes bits of one byte of the object, and loads on a host without a copy. */
async function damageAndLoad(
  kind: TailKind,
  at: number,
  mask: number,
): Promise<{ readonly isFound: boolean; readonly stats: StoreStats }> {
  const world = historyWorld(at);
  const [slot] = world.slots;
  const tip = world.payloads.key('damaged tail');
  const run = async (): Promise<{ isFound: boolean; stats: StoreStats }> => {
    await world.open(slot);
    assert.ok(slot.store !== undefined);
    await kind.save(slot.store, tip, world.payloads.bytes('damaged tail', payloadBytes).slice());
    await slot.store.flush();
    await world.close(slot);
    await damageObject(world, at, mask);
    await world.open(slot);
    const { store } = slot;
    assert.ok(store !== undefined);
    const borrow = await kind.load(store, tip);
    borrow?.release();
    return { isFound: borrow !== undefined, stats: await store.stats() };
  };
  return world.scheduler.run(run());
}

async function damageObject(world: SimWorld, at: number, mask: number): Promise<void> {
  const { bucket } = world;
  assert.ok(bucket !== undefined);
  world.machines[0].disk.removeTree(cacheDirectory);
  const [objectKey] = bucket.keys();
  const bytes = bucket.find(objectKey)?.bytes.slice();
  assert.equal(bytes?.length, headerBytes + payloadBytes);
  bytes[at] ^= mask;
  world.oracle.noteAltered(objectKey, true);
  await bucket.put(parseObjectKey(objectKey), [bytes]);
}

// Goal and method are those of corruption.slow.test.ts, for objects of tails.
describe('corruption of tails', () => {
  for (const kind of kinds) {
    it(`of any byte of the object of a ${kind.name} is found and counted`, async (t) => {
      // The control: without a change it is there.
      assert.ok((await damageAndLoad(kind, 0, 0)).isFound);
      let corrupt = 0;
      let changes = 0;
      for (let at = 0; at < headerBytes + payloadBytes; at += 1) {
        for (const mask of [0xff, 1 << (at % 8)]) {
          const { isFound, stats } = await damageAndLoad(kind, at, mask);
          assert.ok(!isFound, `byte ${at} of the object went unseen`);
          assert.ok(stats.corrupt <= 1, `byte ${at} is counted ${stats.corrupt} times`);
          corrupt += stats.corrupt;
          changes += 1;
        }
      }
      t.diagnostic(`${changes} changes, ${corrupt} counted as corrupt`);
      // Only the version is believed before the checksum of the header holds: a newer one is left.
      assert.ok(corrupt >= changes - 4, `${corrupt} of ${changes} are counted`);
    });
  }
});
