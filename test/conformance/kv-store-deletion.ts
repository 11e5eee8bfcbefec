import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf, sliceChain, withOtherPayloads } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import { blocksInBucket, payloadObjects } from '../support/stored-objects.ts';
import type { KvStoreCase, World } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertRawTail,
  assertTail,
  defaultNamespace,
  onFreshHost,
  openStore,
  saveDurably,
  wipeAndReopen,
} from './kv-store-steps.ts';

async function assertInBucket(
  world: World,
  chain: Chain,
  expected: readonly boolean[],
): Promise<void> {
  const isThere = await blocksInBucket(world.bucket, defaultNamespace, chain.keys);
  assert.deepEqual(isThere, expected);
}

/** A trunk of two blocks with a left and a right branch of three each, saved durably. */
async function saveTree(store: KvStore, label: string) {
  const trunk = chainOf(`${label}-trunk`, 2);
  const left = chainOf(`${label}-left`, 3);
  const right = chainOf(`${label}-right`, 3);
  const parent = trunk.keys[1];
  await saveDurably(store, trunk);
  await saveDurably(store, left, { parent });
  await saveDurably(store, right, { parent });
  return { trunk, left, right };
}

/** Deleting blocks, subtrees and namespaces. */
export const deletionCases: readonly KvStoreCase[] = [
  {
    name: 'deleted blocks are gone from every call and from the bucket, others stay',
    async run(world) {
      const chain = chainOf('delete-blocks', 6);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      const result = await store.delete({ kind: 'blocks', keys: [chain.keys[2], chain.keys[5]] });
      assert.equal(result.objects, 2);
      const isThere = [true, true, false, true, true, false];
      assert.deepEqual([...(await store.contains(chain.keys))], isThere);
      await assertLookup(store, chain.keys, 2);
      await assertLoads(store, chain, { count: 2, reason: 'unknown' });
      await assertLoadsAll(store, sliceChain(chain, 3, 5));
      await assertInBucket(world, chain, isThere);
      await store.close();
    },
  },
  {
    name: 'deleted blocks stay away over restart, crash and wipe',
    async run(world) {
      const chain = chainOf('delete-stays', 5);
      let store = await openStore(world, 'host');
      await saveDurably(store, chain);
      await store.delete({ kind: 'blocks', keys: chain.keys.slice(3) });
      for (const step of ['crash', 'close', 'wipe']) {
        if (step === 'crash') await world.crash(store);
        else await store.close();
        if (step === 'wipe') await world.wipe('host');
        store = await openStore(world, 'host');
        await assertLookup(store, chain.keys, 3);
        await assertLoads(store, chain, { count: 3, reason: 'unknown' });
      }
      await store.flush();
      await assertInBucket(world, chain, [true, true, true, false, false]);
      await store.close();
    },
  },
  {
    name: 'blocks deleted while they wait for upload never appear in the bucket',
    async run(world) {
      const chain = chainOf('delete-pending', 4);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.delete({ kind: 'blocks', keys: chain.keys.slice(1) });
      await assertLookup(store, chain.keys, 1);
      await world.faults.setMode('none');
      await store.flush();
      assert.equal((await store.stats()).pending, 0);
      await assertInBucket(world, chain, [true, false, false, false]);
      await assertLookup(store, chain.keys, 1);
      await store.close();
    },
  },
  {
    name: 'blocks deleted while they waited for upload stay away after a crash',
    async run(world) {
      const chain = chainOf('delete-pending-crash', 3);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.delete({ kind: 'blocks', keys: chain.keys.slice(1) });
      await world.crash(store);
      await world.faults.setMode('none');
      const next = await openStore(world, 'host');
      await assertLookup(next, chain.keys, 1);
      await next.flush();
      await assertInBucket(world, chain, [true, false, false]);
      await next.close();
    },
  },
  {
    name: 'after a delete other bytes may be saved under the key',
    async run(world) {
      const chain = chainOf('delete-anew', 3);
      const anew = withOtherPayloads(chain, 'anew');
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      await store.delete({ kind: 'blocks', keys: chain.keys });
      const result = await store.save(anew.blocks);
      assert.deepEqual([result.saved, result.known], [3, 0]);
      await assertLoadsAll(store, anew);
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, anew));
      await store.close();
      const next = await openStore(world, 'host');
      await assertLoadsAll(next, anew);
      await next.close();
    },
  },
  {
    name: 'deleting what is not there removes nothing',
    async run(world) {
      const chain = chainOf('delete-absent', 3);
      const absent = chainOf('delete-absent-other', 2);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      await store.delete({ kind: 'blocks', keys: absent.keys });
      await store.delete({ kind: 'subtree', root: absent.keys[0] });
      await assertLoadsAll(store, chain);
      await assertInBucket(world, chain, [true, true, true]);
      await store.close();
    },
  },
  {
    name: 'a subtree goes with all that continues it, its siblings stay',
    async run(world) {
      const store = await openStore(world, 'host');
      const { trunk, left, right } = await saveTree(store, 'subtree');
      const result = await store.delete({ kind: 'subtree', root: left.keys[1] });
      assert.equal(result.objects, 2);
      await assertLookup(store, [...trunk.keys, ...left.keys], 3);
      await assertLoadsAll(store, trunk);
      await assertLoadsAll(store, right);
      await assertInBucket(world, left, [true, false, false]);
      await store.delete({ kind: 'subtree', root: trunk.keys[1] });
      await assertLookup(store, trunk.keys, 1);
      await assertLookup(store, left.keys, 0);
      await assertLookup(store, right.keys, 0);
      assert.equal((await payloadObjects(world.bucket)).length, 1);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLookup(wiped, trunk.keys, 1);
      await wiped.close();
    },
  },
  {
    name: 'a subtree can be deleted by a host that knows of it only through the bucket',
    async run(world) {
      const store = await openStore(world, 'host');
      const { trunk, left, right } = await saveTree(store, 'subtree-fresh');
      const wiped = await wipeAndReopen(world, 'host', store);
      const result = await wiped.delete({ kind: 'subtree', root: trunk.keys[1] });
      assert.equal(result.objects, 7);
      await assertInBucket(world, trunk, [true, false]);
      await assertInBucket(world, left, [false, false, false]);
      await assertInBucket(world, right, [false, false, false]);
      await assertLookup(wiped, trunk.keys, 1);
      await wiped.close();
    },
  },
  {
    name: 'a subtree that waits for upload is deleted whole',
    async run(world) {
      const chain = chainOf('subtree-pending', 5);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 3));
      await store.save(chain.blocks.slice(3), { parent: chain.keys[2] });
      await store.delete({ kind: 'subtree', root: chain.keys[1] });
      await assertLookup(store, chain.keys, 1);
      await assertLookup(store, chain.keys.slice(3), 0);
      await world.faults.setMode('none');
      await store.flush();
      await assertInBucket(world, chain, [true, false, false, false, false]);
      await store.close();
    },
  },
  {
    name: 'the tails that continue a deleted subtree go with it',
    async run(world) {
      const chain = chainOf('subtree-tails', 3);
      const [kept, gone, last] = chain.keys;
      const tokens = [1, 2];
      const payload = randomPayload('subtree-tail', 100);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      for (const tip of chain.keys) await store.saveTail({ tip, tokens, payload });
      await store.flush();
      await store.delete({ kind: 'subtree', root: gone });
      const assertGone = async (current: KvStore): Promise<void> => {
        await assertTail(current, { tip: kept, tokens }, { tokens: 2, payload });
        assert.equal(await current.loadTail({ tip: gone, tokens }), undefined);
        assert.equal(await current.loadTail({ tip: last, tokens }), undefined);
      };
      await assertGone(store);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertGone(wiped);
      await wiped.close();
    },
  },
  {
    name: 'deleting a namespace leaves none of its objects',
    async run(world) {
      const chain = chainOf('delete-namespace', 5);
      const { seed } = chain;
      const { payload } = chain.blocks[0];
      const store = await openStore(world, 'host');
      await saveDurably(store, sliceChain(chain, 0, 4));
      await store.saveTail({ tip: seed, tokens: [1], payload }, { durable: true });
      await store.saveRawTail(seed, payload, { durable: true });
      const objects = (await payloadObjects(world.bucket)).length;
      assert.equal(objects, 6);
      assert.equal((await store.delete({ kind: 'namespace' })).objects, objects);
      assert.deepEqual(await payloadObjects(world.bucket), []);
      const assertEmpty = async (current: KvStore): Promise<void> => {
        await assertLookup(current, chain.keys, 0);
        assert.ok(!(await current.contains(chain.keys)).includes(true));
        assert.equal(await current.loadTail({ tip: seed, tokens: [1] }), undefined);
        assert.equal(await current.loadRawTail(seed), undefined);
      };
      await assertEmpty(store);
      await world.crash(store);
      const next = await openStore(world, 'host');
      await assertEmpty(next);
      await next.save(chain.blocks);
      await next.saveRawTail(seed, payload);
      await assertLoadsAll(next, chain);
      await assertRawTail(next, seed, payload);
      await next.close();
    },
  },
  {
    name: 'deleting a namespace takes what waits for upload with it',
    async run(world) {
      const chain = chainOf('namespace-pending', 3);
      const { seed } = chain;
      const { payload } = chain.blocks[0];
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.saveTail({ tip: seed, tokens: [1], payload });
      await store.saveRawTail(seed, payload);
      await store.delete({ kind: 'namespace' });
      await world.faults.setMode('none');
      await store.flush();
      assert.equal((await store.stats()).pending, 0);
      assert.deepEqual(await payloadObjects(world.bucket), []);
      await assertLookup(store, chain.keys, 0);
      await store.close();
    },
  },
  {
    name: 'deleting a namespace or a subtree right after a save catches its uploads',
    async run(world) {
      const store = await openStore(world, 'host');
      for (let round = 0; round < 8; round += 1) {
        const chain = chainOf(`delete-uploading-${round}`, 6, 5000);
        await store.save(chain.blocks);
        await store.saveRawTail(chain.seed, chain.blocks[0].payload);
        for (let turn = 0; turn < round; turn += 1) await nextTurn();
        if (round % 2 === 0) await store.delete({ kind: 'namespace' });
        else await store.delete({ kind: 'subtree', root: chain.keys[0] });
        await assertLookup(store, chain.keys, 0);
        await store.flush();
        assert.deepEqual(
          (await blocksInBucket(world.bucket, defaultNamespace, chain.keys)).includes(true),
          false,
        );
        if (round % 2 === 0) assert.deepEqual(await payloadObjects(world.bucket), []);
        await assertLookup(store, chain.keys, 0);
      }
      await store.close();
    },
  },
];
