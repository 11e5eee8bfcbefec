import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { limits } from '../blocks/limits.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import { openObjectStore } from '../objectstore/open-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { KvStoreHarness, World } from '../../test/conformance/kv-store-harness.ts';
import { chainOf } from '../../test/support/chains.ts';
import { daemonHarness } from '../../test/support/daemon-world.ts';
import { eventually } from '../../test/support/waiting.ts';

const mib = 1024 * 1024;
/** A machine that does other things too may take longer than usual deadlines for 40 MiB. */
const patient = { durable: true, deadlineMs: 60_000 };
const openBucket = (directory: string): ObjectStore =>
  openObjectStore(`file://${directory}`, nodePlatform());
const harnesses = {
  tcp: daemonHarness(openBucket, 'tcp'),
  http: daemonHarness(openBucket, 'http'),
} as const;
after(() => Promise.all(Object.values(harnesses).map((harness) => harness.close())));

async function inWorld(
  task: (world: World) => Promise<void>,
  harness: KvStoreHarness = harnesses.tcp,
): Promise<void> {
  const world = await harness.createWorld();
  try {
    await task(world);
  } finally {
    await world.dispose();
  }
}

/** What lookups of the keys counted, time and again, until the task was done. */
async function countsWhile(
  store: KvStore,
  keys: Parameters<KvStore['lookup']>[0],
  task: Promise<unknown>,
): Promise<ReadonlySet<number>> {
  const counts = new Set<number>();
  let isDone = false;
  const done = task.finally(() => {
    isDone = true;
  });
  while (!isDone) counts.add((await store.lookup(keys, { deadlineMs: 10_000 })).matched);
  await done;
  return counts;
}

describe('a save of several groups', () => {
  for (const [door, harness] of Object.entries(harnesses)) {
    it(`shows whole or not at all from its first block, and comes back byte for byte (${door})`, () =>
      inWorld(async (world) => {
        const store = await world.open('a');
        const chain = chainOf('groups', 40, mib);
        assert.ok(chain.byteLength > 2 * limits.saveGroupBytes);
        const counts = await countsWhile(store, chain.keys, store.save(chain.blocks));
        assert.ok(
          [...counts].every((count) => count === 0 || count === 40),
          [...counts].join(),
        );
        const borrow = await store.load(chain.keys);
        assert.equal(borrow.blocks.length, 40);
        borrow.blocks.forEach(({ payload }, at) =>
          assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload), `block ${at}`),
        );
        borrow.release();
        await store.flush();
        assert.equal((await store.stats()).pending, 0);
        await store.close();
      }, harness));
  }

  for (const [door, harness] of Object.entries(harnesses)) {
    it(`that is durable has its groups uploaded side by side, and fails when one cannot be (${door})`, () =>
      inWorld(async (world) => {
        const store = await world.open('a');
        const chain = chainOf('groups/durable', 40, mib);
        await world.faults.setMode('refuse-puts');
        const refused = store.save(chain.blocks, patient);
        await assert.rejects(refused, { code: 'UNAVAILABLE' });
        // Accepted as a whole, though the first group cannot be uploaded.
        assert.equal((await store.stats()).pending, 40);
        await world.faults.setMode('none');
        const again = await store.save(chain.blocks, patient);
        assert.deepEqual(again, { saved: 0, known: 40, savedBytes: 0 });
        assert.equal((await store.stats()).pending, 0);
        await store.close();
      }, harness));

    it(`that is durable adds to what is stored all of it or nothing (${door})`, () =>
      inWorld(async (world) => {
        const store = await world.open('a');
        const other = await world.open('b');
        const chain = chainOf('groups/durable, begun', 40, mib);
        // More than a group, so that none of the first one is new.
        const known = 18;
        await store.save(chain.blocks.slice(0, known), patient);
        const saving = store.save(chain.blocks, patient);
        const counts = await countsWhile(other, chain.keys, saving);
        assert.ok(
          [...counts].every((count) => count <= known || count === 40),
          [...counts].join(),
        );
        assert.equal((await saving).saved, 40 - known);
        await store.close();
        await other.close();
      }, harness));

    it(`that is durable goes to the object store whole or not at all from its first block (${door})`, () =>
      inWorld(async (world) => {
        const store = await world.open('a');
        const other = await world.open('b');
        const chain = chainOf('groups/durable, other host', 40, mib);
        const saving = store.save(chain.blocks, patient);
        const counts = await countsWhile(other, chain.keys, saving);
        assert.ok(
          [...counts].every((count) => count === 0 || count === 40),
          [...counts].join(),
        );
        await eventually('the other host finds it', async () => {
          return (await other.lookup(chain.keys)).matched === 40;
        });
        await store.close();
        await other.close();
      }, harness));
  }

  it('that is durable needs room for its groups one after the other only', () =>
    inWorld(async (world) => {
      const store = await world.open('a', { backlogBytes: 20 * mib });
      const chain = chainOf('groups/durable, little room', 40, mib);
      const result = await store.save(chain.blocks, patient);
      assert.deepEqual(result, { saved: 40, known: 0, savedBytes: chain.byteLength });
      assert.equal((await store.stats()).pending, 0);
      await store.close();
    }));

  it('is refused before any group is stored when there is no room for all', () =>
    inWorld(async (world) => {
      const backlogBytes = 48 * mib;
      const store = await world.open('a', { backlogBytes });
      await world.faults.setMode('refuse-puts');
      const first = chainOf('groups/first', 20, mib);
      await store.save(first.blocks);
      const { pendingBytes } = await store.stats();
      const second = chainOf('groups/second', 40, mib);
      await assert.rejects(store.save(second.blocks), { code: 'BUSY' });
      assert.equal((await store.stats()).pendingBytes, pendingBytes);
      const isStored = await store.contains(second.keys);
      assert.ok(isStored.every((one) => !one));
      await world.faults.setMode('none');
      await store.close();
    }));

  for (const [door, harness] of Object.entries(harnesses)) {
    it(`goes to the object store whole or not at all from its first block (${door})`, () =>
      inWorld(async (world) => {
        const store = await world.open('a');
        const other = await world.open('b');
        const chain = chainOf('groups/other host', 40, mib);
        const saving = store.save(chain.blocks).then(() => store.flush());
        const counts = await countsWhile(other, chain.keys, saving);
        assert.ok(
          [...counts].every((count) => count === 0 || count === 40),
          [...counts].join(),
        );
        await store.close();
        await other.close();
      }, harness));
  }

  it('of more blocks than one turn takes shows whole or not at all, and is known as a whole', () =>
    inWorld(async (world) => {
      const store = await world.open('a');
      // Their uploads are not what is looked at.
      await world.faults.setMode('refuse-puts');
      const count = limits.turnKeysMax + 7;
      // Of one byte they come unasked, of more they are asked for.
      for (const blockBytes of [1, 64]) {
        const chain = chainOf(`groups/many of ${blockBytes}`, count, blockBytes);
        const saving = store.save(chain.blocks);
        const counts = await countsWhile(store, chain.keys, saving);
        assert.ok(
          [...counts].every((one) => one === 0 || one === count),
          [...counts].join(),
        );
        const savedBytes = blockBytes * count;
        assert.deepEqual(await saving, { saved: count, known: 0, savedBytes });
        const again = await store.save(chain.blocks);
        assert.deepEqual(again, { saved: 0, known: count, savedBytes: 0 });
      }
      await world.faults.setMode('none');
      await store.close();
    }));

  it('of many blocks that have no room is refused before any is stored', () =>
    inWorld(async (world) => {
      const store = await world.open('a', { backlogBytes: 64 * 1024 });
      await world.faults.setMode('refuse-puts');
      await store.save(chainOf('groups/few', 1, 60 * 1024).blocks);
      const many = chainOf('groups/too many', 2 * limits.turnKeysMax + 7, 16);
      await assert.rejects(store.save(many.blocks), { code: 'BUSY' });
      const isStored = await store.contains(many.keys);
      assert.ok(isStored.every((one) => !one));
      await world.faults.setMode('none');
      await store.close();
    }));
});
