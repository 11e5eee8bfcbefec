import assert from 'node:assert/strict';
import { chainOf, sliceChain } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import { eventually } from '../support/waiting.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertRawTail,
  assertSameBytes,
  assertTail,
  kib,
  mib,
  objectHits,
  onFreshHost,
  openStore,
  saveDurably,
} from './kv-store-steps.ts';

/** What *accepted* promises: the death of the process takes nothing back. */
export const crashCases: readonly KvStoreCase[] = [
  {
    name: 'accepted blocks survive a crash, and the next process uploads them',
    async run(world) {
      const chain = chainOf('crash', 10, 20_000);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await world.crash(store);
      await world.faults.setMode('none');
      const next = await openStore(world, 'host');
      await assertLookup(next, chain.keys, 10);
      await assertLoadsAll(next, chain);
      assert.equal(await objectHits(next), 0);
      await next.flush();
      assert.equal((await next.stats()).pending, 0);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await next.close();
    },
  },
  {
    name: 'payloads of every size survive a crash',
    async run(world) {
      const sizes = [0, 1, 127, 4 * kib, 65_537, mib + 3, 0];
      const chains = sizes.map((size, index) => chainOf(`crash-size-${index}`, 1, size));
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      for (const chain of chains) await store.save(chain.blocks);
      await world.crash(store);
      const next = await openStore(world, 'host');
      for (const chain of chains) await assertLoadsAll(next, chain);
      await world.faults.setMode('none');
      await next.flush();
      await onFreshHost(world, 'other', async (other) => {
        for (const chain of chains) await assertLoadsAll(other, chain);
      });
      await next.close();
    },
  },
  {
    name: 'uploads that a crash cut off are resumed without being asked',
    async run(world) {
      const chain = chainOf('resumed', 6);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await world.crash(store);
      await world.faults.setMode('none');
      const next = await openStore(world, 'host');
      await eventually('nothing is pending', async () => (await next.stats()).pending === 0);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await next.close();
    },
  },
  {
    name: 'accepted tails and raw tails survive a crash, and are uploaded later',
    async run(world) {
      const chain = chainOf('crash-tails', 2);
      const [tip, other] = chain.keys;
      const tokens = [9, -8, 7];
      const payload = randomPayload('crash-tail', 30_001);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.saveTail({ tip, tokens, payload });
      await store.saveRawTail(other, payload);
      await world.crash(store);
      const next = await openStore(world, 'host');
      await assertTail(next, { tip, tokens }, { tokens: 3, payload });
      await assertRawTail(next, other, payload);
      await world.faults.setMode('none');
      await next.flush();
      await onFreshHost(world, 'other', async (fresh) => {
        await assertTail(fresh, { tip, tokens }, { tokens: 3, payload });
        await assertRawTail(fresh, other, payload);
      });
      await next.close();
    },
  },
  {
    name: 'after a crash a raw tail is the last one accepted',
    async run(world) {
      const { seed } = chainOf('crash-raw', 1);
      const payloads = [1, 2, 3, 4, 5].map((round) => randomPayload(`raw-${round}`, 500 * round));
      const store = await openStore(world, 'host');
      await store.saveRawTail(seed, payloads[0], { durable: true });
      await world.faults.setMode('refuse-puts');
      for (const payload of payloads.slice(1)) await store.saveRawTail(seed, payload);
      await world.crash(store);
      await world.faults.setMode('none');
      const next = await openStore(world, 'host');
      await assertRawTail(next, seed, payloads[4]);
      await next.flush();
      await assertRawTail(next, seed, payloads[4]);
      await onFreshHost(world, 'other', (other) => assertRawTail(other, seed, payloads[4]));
      await next.close();
    },
  },
  {
    name: 'crash after crash, with saves between them, loses nothing',
    async run(world) {
      const chain = chainOf('crashes', 12, 4000);
      await world.faults.setMode('refuse-puts');
      let store = await openStore(world, 'host');
      for (let round = 0; round < 4; round += 1) {
        const part = sliceChain(chain, 3 * round, 3 * round + 3);
        await store.save(part.blocks, { parent: part.seed });
        await world.crash(store);
        store = await openStore(world, 'host');
        await assertLoadsAll(store, sliceChain(chain, 0, 3 * round + 3));
      }
      await world.faults.setMode('none');
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'a crash with uploads under way loses nothing and leaves no other bytes',
    async run(world) {
      const chain = chainOf('crash-uploading', 30, 20_000);
      let store = await openStore(world, 'host');
      for (let round = 0; round < 3; round += 1) {
        const part = sliceChain(chain, 10 * round, 10 * round + 10);
        // Uploads begin at once and the crash comes while they run.
        await store.save(part.blocks, { parent: part.seed });
        await world.crash(store);
        store = await openStore(world, 'host');
      }
      await assertLoadsAll(store, chain);
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'a save that a crash cut off leaves leading blocks or none, and right bytes',
    async run(world) {
      const known = chainOf('cut-off-known', 2);
      const chain = chainOf('cut-off', 40, 50_000);
      let store = await openStore(world, 'host');
      await store.save(known.blocks);
      // Its promise may stay unsettled for ever.
      store.save(chain.blocks).catch(() => undefined);
      await world.crash(store);
      store = await openStore(world, 'host');
      await assertLoadsAll(store, known);
      const { matched } = await store.lookup(chain.keys);
      const reason = matched === chain.keys.length ? undefined : 'unknown';
      await assertLoads(store, chain, { count: matched, reason });
      await store.save(chain.blocks);
      await assertLoadsAll(store, chain);
      await store.close();
    },
  },
  {
    name: 'the first of many equal saves to resolve has made the batch accepted',
    async run(world) {
      const chain = chainOf('first-of-many', 6, 30_000);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      const saves = [1, 2, 3, 4, 5].map(() => store.save(chain.blocks));
      for (const save of saves) save.catch(() => undefined);
      await Promise.race(saves);
      await world.crash(store);
      const next = await openStore(world, 'host');
      await assertLoadsAll(next, chain);
      await world.faults.setMode('none');
      await next.close();
    },
  },
  {
    name: 'without a disk tier, what was accepted survives a crash too',
    async run(world) {
      const chain = chainOf('no-disk', 4, 5000);
      const { seed } = chain;
      const payload = randomPayload('no-disk-raw', 700);
      const store = await openStore(world, 'host', { diskBytes: 0 });
      await store.save(chain.blocks);
      await store.saveRawTail(seed, payload);
      await world.crash(store);
      const next = await openStore(world, 'host', { diskBytes: 0 });
      await assertLoadsAll(next, chain);
      await assertRawTail(next, seed, payload);
      await next.close();
    },
  },
  {
    name: 'what was durable before a crash is known after it',
    async run(world) {
      const chain = chainOf('known-after', 5, 10_000);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      await world.crash(store);
      const next = await openStore(world, 'host');
      const result = await next.save(chain.blocks);
      assert.deepEqual([result.saved, result.known, result.savedBytes], [0, 5, 0]);
      await assertLoadsAll(next, chain);
      await next.flush();
      assert.equal((await next.stats()).pending, 0);
      await next.close();
    },
  },
  {
    name: 'borrows taken before a crash keep their bytes after it',
    async run(world) {
      const chain = chainOf('crash-borrow', 3, 100_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      const borrow = await store.load(chain.keys);
      await world.crash(store);
      const next = await openStore(world, 'host');
      await next.save(chainOf('crash-borrow-more', 20, 100_000).blocks);
      borrow.blocks.forEach((block, index) =>
        assertSameBytes(block.payload, chain.blocks[index].payload, `borrowed block ${index}`),
      );
      borrow.release();
      await next.close();
    },
  },
];
