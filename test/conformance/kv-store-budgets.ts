import assert from 'node:assert/strict';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoadsAll,
  assertLookup,
  assertRawTail,
  assertTail,
  kib,
  objectHits,
  onFreshHost,
  openStore,
  saveDurably,
  saveDurablyInParts,
  wipeAndReopen,
} from './kv-store-steps.ts';

/** Size of the blocks. Budgets are small multiples of it, and so is what overruns them. */
const unit = 256 * kib;

const small = { memoryBytes: 4 * unit, diskBytes: 16 * unit };

async function assertWithinBudgets(store: KvStore, budgets = small): Promise<void> {
  const { memory, disk } = await store.stats();
  const memoryMax = budgets.memoryBytes;
  // A segment, an eighth of the budget, is evicted whole, and the newest one is still being written.
  const diskMax = (budgets.diskBytes * 9) / 8 + unit;
  assert.ok(memory.bytes <= memoryMax, `memory holds ${memory.bytes} of ${memoryMax}`);
  assert.ok(disk.bytes <= diskMax, `disk holds ${disk.bytes} of ${diskMax}`);
}

/** Saves blocks one by one until the store says BUSY. Returns those that it accepted. */
async function saveUntilBusy(store: KvStore, chain: Chain): Promise<Chain> {
  for (const [index, block] of chain.blocks.entries()) {
    try {
      await store.save([block]);
    } catch (error) {
      if (isStoreError(error, 'BUSY')) return sliceChain(chain, 0, index);
      throw error;
    }
  }
  return chain;
}

/** Budgets hold, and what does not fit them still works. */
export const budgetCases: readonly KvStoreCase[] = [
  {
    name: 'a batch larger than the memory tier is saved and loaded whole',
    async run(world) {
      const chain = chainOf('larger-batch', 20, unit);
      const budgets = { memoryBytes: 4 * unit, diskBytes: 128 * unit };
      const store = await openStore(world, 'host', budgets);
      const result = await store.save(chain.blocks);
      assert.equal(result.saved, 20);
      await assertLookup(store, chain.keys, 20);
      await assertLoadsAll(store, chain);
      await store.close();
      const next = await openStore(world, 'host', budgets);
      await assertLoadsAll(next, chain);
      const wiped = await wipeAndReopen(world, 'host', next, budgets);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'a payload larger than the memory tier is saved and loaded',
    async run(world) {
      const { seed } = chainOf('larger-payload', 1);
      const chain = chainOf('larger-payload', 2, 6 * unit + 5);
      const payload = randomPayload('larger-tail', 6 * unit + 1);
      const store = await openStore(world, 'host', { ...small, diskBytes: 128 * unit });
      await store.save(chain.blocks);
      await store.saveTail({ tip: seed, tokens: [1], payload });
      await store.saveRawTail(seed, payload);
      let current = store;
      for (const round of ['live', 'wiped']) {
        await assertLoadsAll(current, chain);
        await assertTail(current, { tip: seed, tokens: [1] }, { tokens: 1, payload });
        await assertRawTail(current, seed, payload);
        if (round === 'live') current = await wipeAndReopen(world, 'host', current, small);
      }
      await current.close();
    },
  },
  {
    name: 'memory and disk budgets hold under endless new saves, and the bucket has the rest',
    async run(world) {
      const chains = Array.from({ length: 7 }, (_, index) => chainOf(`endless-${index}`, 16, unit));
      const store = await openStore(world, 'host', small);
      for (const chain of chains) {
        await saveDurablyInParts(store, chain);
        await assertWithinBudgets(store);
      }
      const { disk } = await store.stats();
      assert.ok(disk.evictions > 0, 'blocks were evicted from disk');
      const before = await objectHits(store);
      for (const chain of chains) {
        await assertLookup(store, chain.keys, 16);
        await assertLoadsAll(store, chain);
        await assertWithinBudgets(store);
      }
      assert.ok((await objectHits(store)) > before, 'the bucket gave what was evicted');
      await store.close();
    },
  },
  {
    name: 'reads alone keep the budgets too',
    async run(world) {
      const chains = Array.from({ length: 6 }, (_, index) => chainOf(`reads-${index}`, 16, unit));
      const writer = await openStore(world, 'writer');
      for (const chain of chains) await saveDurably(writer, chain);
      await writer.close();
      const reader = await openStore(world, 'reader', small);
      for (const chain of chains) {
        await assertLoadsAll(reader, chain);
        await assertWithinBudgets(reader);
      }
      await reader.close();
    },
  },
  {
    name: 'what is pending is never evicted, whatever the budgets',
    async run(world) {
      const chain = chainOf('pending-stays', 32, unit);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host', { ...small, backlogBytes: 256 * unit });
      const accepted = await saveUntilBusy(store, chain);
      assert.ok(accepted.keys.length >= 4, `${accepted.keys.length} blocks accepted`);
      await assertLoadsAll(store, accepted);
      await world.crash(store);
      await world.faults.setMode('none');
      const next = await openStore(world, 'host', { ...small, backlogBytes: 256 * unit });
      await assertLoadsAll(next, accepted);
      await next.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, accepted));
      await next.close();
    },
  },
  {
    name: 'a store opened with smaller budgets serves what it finds',
    async run(world) {
      const chain = chainOf('shrunk', 24, unit);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.close();
      const next = await openStore(world, 'host', small);
      await assertLookup(next, chain.keys, 24);
      await assertLoadsAll(next, chain);
      await saveDurablyInParts(next, chainOf('shrunk-more', 24, unit));
      await assertLoadsAll(next, chain);
      await assertWithinBudgets(next);
      await next.close();
    },
  },
  {
    name: 'without a disk tier blocks come from memory and the bucket',
    async run(world) {
      const chain = chainOf('diskless', 12, unit);
      const store = await openStore(world, 'host', { memoryBytes: 4 * unit, diskBytes: 0 });
      await store.save(chain.blocks);
      await assertLoadsAll(store, chain);
      const { disk } = await store.stats();
      assert.deepEqual([disk.bytes, disk.entries, disk.budgetBytes], [0, 0, 0]);
      await store.close();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
    },
  },
  {
    name: 'loading and releasing for long gives all memory back',
    async run(world) {
      const chains = Array.from({ length: 6 }, (_, index) => chainOf(`cycle-${index}`, 4, unit));
      const budgets = { ...small, diskBytes: 128 * unit };
      const store = await openStore(world, 'host', budgets);
      for (const chain of chains) await saveDurably(store, chain);
      for (let round = 0; round < 10; round += 1) {
        for (const chain of chains) {
          const borrow = await store.load(chain.keys);
          assert.equal(borrow.blocks.length, 4, `round ${round}: ${borrow.reason}`);
          borrow.release();
        }
      }
      for (const chain of chains) await assertLoadsAll(store, chain);
      await assertWithinBudgets(store, budgets);
      await store.close();
    },
  },
];
