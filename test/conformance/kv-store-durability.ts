import assert from 'node:assert/strict';
import { chainOf, sliceChain } from '../support/chains.ts';
import {
  blocksInBucket,
  objectKeys,
  rawTailObject,
  tailObjects,
} from '../support/stored-objects.ts';
import { eventually, withTimeLimit } from '../support/waiting.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoadsAll,
  assertLookup,
  assertRawTail,
  assertRejects,
  assertTail,
  defaultNamespace,
  kib,
  objectHits,
  onFreshHost,
  openStore,
  saveDurably,
  wipeAndReopen,
} from './kv-store-steps.ts';

const namespace = defaultNamespace;

/** What durable, flush, close and restart promise while nothing breaks. */
export const durabilityCases: readonly KvStoreCase[] = [
  {
    name: 'a durable save has its objects in the bucket when it resolves',
    async run(world) {
      const chain = chainOf('durable', 5, 3000);
      const store = await openStore(world, 'host');
      const result = await store.save(chain.blocks, { durable: true });
      assert.deepEqual([result.saved, result.known, result.savedBytes], [5, 0, 15_000]);
      assert.deepEqual(await blocksInBucket(world.bucket, namespace, chain.keys), [
        true,
        true,
        true,
        true,
        true,
      ]);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'blocks lie under their documented object keys',
    async run(world) {
      const chain = chainOf('object-keys', 3);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      const expected = chain.keys.map((key) => `/v2/block/${key.slice(0, 2)}/${key}`).sort();
      const found = await objectKeys(world.bucket);
      const blocks = found.filter((key) => key.includes('/v2/block/'));
      assert.deepEqual(
        blocks.map((key) => key.slice(key.indexOf('/v2/'))),
        expected,
      );
      for (const key of blocks) assert.match(`/${key}`, /\/default\/wombatkv\/v2\/block\//);
      await store.close();
    },
  },
  {
    name: 'flush() makes everything accepted before it durable',
    async run(world) {
      const chain = chainOf('flush', 12, 3000);
      const payload = chain.blocks[0].payload;
      const tip = chain.keys[11];
      const store = await openStore(world, 'host');
      for (const block of chain.blocks) await store.save([block]);
      await store.saveTail({ tip, tokens: [5, 6, 7], payload });
      await store.saveRawTail(tip, payload);
      await store.flush();
      const stats = await store.stats();
      assert.deepEqual([stats.pending, stats.pendingBytes], [0, 0]);
      const isThere = await blocksInBucket(world.bucket, namespace, chain.keys);
      assert.ok(isThere.every(Boolean), `objects of blocks: ${isThere.join()}`);
      assert.equal((await tailObjects(world.bucket, { namespace, key: tip })).length, 1);
      assert.ok((await rawTailObject(world.bucket, { namespace, key: tip })) !== undefined);
      await onFreshHost(world, 'other', async (other) => {
        await assertLoadsAll(other, chain);
        await assertTail(other, { tip, tokens: [5, 6, 7] }, { tokens: 3, payload });
        await assertRawTail(other, tip, payload);
      });
      await store.close();
    },
  },
  {
    name: 'uploads go on by themselves',
    async run(world) {
      const chain = chainOf('by-themselves', 5);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await eventually('nothing is pending', async () => (await store.stats()).pending === 0);
      const isThere = await blocksInBucket(world.bucket, namespace, chain.keys);
      assert.ok(isThere.every(Boolean), `objects of blocks: ${isThere.join()}`);
      await store.close();
    },
  },
  {
    name: 'a durable save of blocks that are still pending waits for the bucket',
    async run(world) {
      const chain = chainOf('pending-then-durable', 4);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await world.faults.setMode('none');
      const result = await store.save(chain.blocks, { durable: true });
      assert.deepEqual([result.saved, result.known], [0, 4]);
      const isThere = await blocksInBucket(world.bucket, namespace, chain.keys);
      assert.ok(isThere.every(Boolean), `objects of blocks: ${isThere.join()}`);
      await store.close();
    },
  },
  {
    name: 'durable tails and raw tails are in the bucket when their save resolves',
    async run(world) {
      const { keys, blocks } = chainOf('durable-tails', 1);
      const [tip] = keys;
      const { payload } = blocks[0];
      const store = await openStore(world, 'host');
      await store.saveTail({ tip, tokens: [1, 2], payload }, { durable: true });
      assert.equal((await tailObjects(world.bucket, { namespace, key: tip })).length, 1);
      await store.saveRawTail(tip, payload, { durable: true });
      assert.ok((await rawTailObject(world.bucket, { namespace, key: tip })) !== undefined);
      await store.close();
    },
  },
  {
    name: 'close() uploads what is pending',
    async run(world) {
      const chain = chainOf('drain', 8, 20_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.saveTail({ tip: chain.keys[7], tokens: [1], payload: chain.blocks[0].payload });
      await store.close();
      await onFreshHost(world, 'other', async (other) => {
        await assertLoadsAll(other, chain);
        const { payload } = chain.blocks[0];
        await assertTail(other, { tip: chain.keys[7], tokens: [1] }, { tokens: 1, payload });
      });
    },
  },
  {
    name: 'close() with the bucket gone ends, and the next process uploads the rest',
    async run(world) {
      const chain = chainOf('drain-later', 4);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 1), { durable: true });
      await world.faults.setMode('unavailable');
      await store.save(chain.blocks);
      await withTimeLimit(25_000, 'close()', () => store.close());
      await world.faults.setMode('none');
      const next = await openStore(world, 'host');
      await assertLoadsAll(next, chain);
      await next.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await next.close();
    },
  },
  {
    name: 'a restart on the same host serves from its local tiers',
    async run(world) {
      const chain = chainOf('restart', 6, 10_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.close();
      const next = await openStore(world, 'host');
      await assertLookup(next, chain.keys, 6);
      const tiers = await assertLoadsAll(next, chain);
      assert.ok(!tiers.includes('object'), `tiers ${tiers.join()}`);
      assert.equal(await objectHits(next), 0);
      await next.close();
    },
  },
  {
    name: 'with the local tiers wiped the bucket gives every byte, once',
    async run(world) {
      const chain = chainOf('wiped', 6, 40_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      const wiped = await wipeAndReopen(world, 'host', store);
      const tiers = await assertLoadsAll(wiped, chain);
      assert.deepEqual(tiers, ['object', 'object', 'object', 'object', 'object', 'object']);
      const first = await wiped.stats();
      assert.deepEqual([first.memory.hits, first.disk.hits, first.object.hits], [0, 0, 6]);
      assert.equal(first.object.hitBytes, 240_000);
      const again = await assertLoadsAll(wiped, chain);
      assert.ok(!again.includes('object'), `tiers ${again.join()}`);
      const second = await wiped.stats();
      assert.equal(second.object.requests.get, first.object.requests.get);
      await wiped.close();
    },
  },
  {
    name: 'blocks fetched from the bucket stay on the host over a restart',
    async run(world) {
      const chain = chainOf('admitted', 4, 64 * kib);
      const store = await openStore(world, 'writer');
      await saveDurably(store, chain);
      await store.close();
      await onFreshHost(world, 'reader', (reader) => assertLoadsAll(reader, chain));
      const again = await openStore(world, 'reader');
      const tiers = await assertLoadsAll(again, chain);
      assert.ok(!tiers.includes('object'), `tiers ${tiers.join()}`);
      await again.close();
    },
  },
  {
    name: 'many restarts with saves between them keep everything',
    async run(world) {
      const chain = chainOf('restarts', 15, 2000);
      for (let round = 0; round < 5; round += 1) {
        const store = await openStore(world, 'host');
        await assertLookup(store, chain.keys, 3 * round);
        const part = sliceChain(chain, 3 * round, 3 * round + 3);
        await store.save(part.blocks, { parent: part.seed });
        await assertLoadsAll(store, sliceChain(chain, 0, 3 * round + 3));
        await store.close();
      }
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
    },
  },
  {
    name: 'flush() with nothing pending asks the bucket nothing',
    async run(world) {
      const store = await openStore(world, 'host');
      await saveDurably(store, chainOf('nothing-pending', 2));
      await store.flush();
      const before = (await store.stats()).object.requests;
      await store.flush();
      assert.deepEqual({ ...(await store.stats()).object.requests }, { ...before });
      await store.close();
    },
  },
  {
    name: 'what is accepted while flush() runs does not keep it waiting for ever',
    async run(world) {
      const chain = chainOf('flush-under-load', 60, 2000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 20));
      let isFlushed = false;
      const flushing = store.flush().then(() => {
        isFlushed = true;
      });
      for (let at = 20; at < 60; at += 1) await store.save(chain.blocks.slice(at, at + 1));
      await flushing;
      assert.ok(isFlushed);
      const isThere = await blocksInBucket(world.bucket, namespace, chain.keys.slice(0, 20));
      assert.ok(isThere.every(Boolean), `objects of blocks: ${isThere.join()}`);
      await store.close();
    },
  },
  {
    name: 'a durable save that fails has accepted its batch, and the upload goes on',
    async run(world) {
      const chain = chainOf('durable-refused', 3);
      const store = await openStore(world, 'host');
      await world.faults.setMode('unavailable');
      await assertRejects(
        () => store.save(chain.blocks, { durable: true, deadlineMs: 5000 }),
        'UNAVAILABLE',
      );
      await assertLookup(store, chain.keys, 3);
      await world.faults.setMode('none');
      await store.flush();
      await assertLoadsAll(store, chain);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'a failed durable save takes nothing back that was accepted before',
    async run(world) {
      const chain = chainOf('durable-refused-later', 3);
      const store = await openStore(world, 'host');
      await world.faults.setMode('refuse-puts');
      await store.save(chain.blocks.slice(0, 2));
      await assertRejects(
        () => store.save(chain.blocks, { durable: true, deadlineMs: 5000 }),
        'UNAVAILABLE',
      );
      await assertLoadsAll(store, sliceChain(chain, 0, 2));
      await world.faults.setMode('none');
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, sliceChain(chain, 0, 2)));
      await store.close();
    },
  },
];
