import assert from 'node:assert/strict';
import type { Borrow, KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoadsAll,
  assertLookup,
  assertSameBytes,
  kib,
  openStore,
  saveDurably,
  saveDurablyInParts,
  wipeAndReopen,
} from './kv-store-steps.ts';

/** Size of the largest blocks; budgets are small multiples of it. */
const unit = 256 * kib;

/** Budgets that a few saves overrun. */
const small = { memoryBytes: 4 * unit, diskBytes: 24 * unit };

function assertUnchanged(borrow: Borrow, chain: Chain): void {
  assert.equal(borrow.blocks.length, chain.blocks.length);
  borrow.blocks.forEach((block, index) =>
    assertSameBytes(block.payload, chain.blocks[index].payload, `borrowed block ${index}`),
  );
}

/** Saves so much that nothing older stays in small local tiers. */
async function churn(store: KvStore, label: string): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    await saveDurablyInParts(store, chainOf(`churn-${label}-${round}`, 16, unit));
  }
}

/** Payloads on loan do not change until they are given back. */
export const borrowCases: readonly KvStoreCase[] = [
  {
    name: 'a borrow keeps its bytes while its blocks are evicted',
    async run(world) {
      const chain = chainOf('borrow-evicted', 6, unit / 2);
      const store = await openStore(world, 'host', small);
      await saveDurably(store, chain);
      const borrow = await store.load(chain.keys);
      await churn(store, 'evicted');
      assertUnchanged(borrow, chain);
      borrow.release();
      await assertLoadsAll(store, chain);
      await store.close();
    },
  },
  {
    name: 'a borrow keeps its bytes while its blocks are deleted and saved anew',
    async run(world) {
      const chain = chainOf('borrow-deleted', 4, 100_000);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      const borrow = await store.load(chain.keys);
      await store.delete({ kind: 'namespace' });
      await assertLookup(store, chain.keys, 0);
      const blocks = chain.blocks.map((block, index) => ({
        ...block,
        payload: randomPayload(`anew-${index}`, 100_000),
      }));
      await store.save(blocks);
      assertUnchanged(borrow, chain);
      await assertLoadsAll(store, { ...chain, blocks });
      borrow.release();
      await store.close();
    },
  },
  {
    name: 'a borrow keeps its bytes after its store was closed and the host wiped',
    async run(world) {
      const chain = chainOf('borrow-closed', 4, 200_000);
      const store = await openStore(world, 'host', small);
      await store.save(chain.blocks);
      const borrow = await store.load(chain.keys);
      const next = await wipeAndReopen(world, 'host', store, small);
      await churn(next, 'closed');
      assertUnchanged(borrow, chain);
      borrow.release();
      borrow.release();
      await next.close();
      borrow.release();
    },
  },
  {
    name: 'releasing a borrow twice takes nothing from another borrow of the same blocks',
    async run(world) {
      const chain = chainOf('borrow-twice', 3, unit / 2);
      const store = await openStore(world, 'host', small);
      await saveDurably(store, chain);
      const first = await store.load(chain.keys);
      const second = await store.load(chain.keys);
      first.release();
      first.release();
      first.release();
      await churn(store, 'twice');
      assertUnchanged(second, chain);
      second.release();
      await store.close();
    },
  },
  {
    name: 'a borrow of blocks that came from the bucket keeps its bytes too',
    async run(world) {
      const chain = chainOf('borrow-fetched', 4, unit / 2);
      const store = await openStore(world, 'host', small);
      await store.save(chain.blocks);
      const wiped = await wipeAndReopen(world, 'host', store, small);
      const borrow = await wiped.load(chain.keys);
      await churn(wiped, 'fetched');
      assertUnchanged(borrow, chain);
      borrow.release();
      await wiped.close();
    },
  },
  {
    name: 'borrowed tails keep their bytes',
    async run(world) {
      const { seed } = chainOf('borrow-tails', 1);
      const query = { tip: seed, tokens: [1, 2, 3] };
      const payload = randomPayload('borrow-tail', unit);
      const store = await openStore(world, 'host', small);
      await store.saveTail({ ...query, payload });
      await store.saveRawTail(seed, payload);
      const tail = await store.loadTail(query);
      const raw = await store.loadRawTail(seed);
      assert.ok(tail !== undefined && raw !== undefined);
      await churn(store, 'tails');
      await store.delete({ kind: 'namespace' });
      await store.close();
      assertSameBytes(tail.payload, payload, 'borrowed tail');
      assertSameBytes(raw.payload, payload, 'borrowed raw tail');
      for (const borrow of [tail, raw, tail, raw]) borrow.release();
    },
  },
  {
    name: 'borrows beyond the memory budget are right or shorter, and stop nothing',
    async run(world) {
      const chains = Array.from({ length: 16 }, (_, index) =>
        chainOf(`held-${index}`, 2, unit / 2),
      );
      const store = await openStore(world, 'host', { ...small, diskBytes: 64 * unit });
      for (const chain of chains) await saveDurably(store, chain);
      const borrows = [];
      for (const chain of chains) borrows.push(await store.load(chain.keys));
      const late = chainOf('held-late', 4, unit);
      await saveDurably(store, late);
      borrows.forEach((borrow, index) => {
        const { blocks } = chains[index];
        assert.ok(borrow.blocks.length === blocks.length || borrow.reason !== undefined);
        borrow.blocks.forEach(({ payload }, at) =>
          assertSameBytes(payload, blocks[at].payload, `chain ${index}, block ${at}`),
        );
      });
      for (const borrow of borrows) borrow.release();
      for (const chain of [...chains, late]) await assertLoadsAll(store, chain);
      await store.close();
    },
  },
  {
    name: 'an empty borrow is released like any other',
    async run(world) {
      const store = await openStore(world, 'host');
      const borrow = await store.load(chainOf('nothing', 2).keys);
      assert.equal(borrow.blocks.length, 0);
      borrow.release();
      borrow.release();
      await store.close();
    },
  },
];
