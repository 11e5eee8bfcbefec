import assert from 'node:assert/strict';
import type { KvStore, StoreStats } from '../../src/blocks/kv-store.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertRejects,
  assertSameBytes,
  mib,
  openStore,
  saveDurably,
} from './kv-store-steps.ts';

const missReasons = [
  'unknown',
  'evicted',
  'corrupt',
  'decoded',
  'other-fingerprint',
  'deadline',
  'unavailable',
  'incompatible',
  'closed',
] as const;
const verbs = ['put', 'get', 'head', 'list', 'delete'] as const;

/** Every call of the contract but close(), by name. */
export function everyCall(
  store: KvStore,
  signal?: AbortSignal,
): readonly (readonly [name: string, call: () => Promise<unknown>])[] {
  const { keys, blocks, seed } = chainOf('every-call', 2);
  const payload = blocks[0].payload;
  const options = { signal };
  return [
    ['lookup', () => store.lookup(keys, options)],
    ['contains', () => store.contains(keys, options)],
    ['load', () => store.load(keys, options)],
    ['save', () => store.save(blocks, options)],
    ['loadTail', () => store.loadTail({ tip: seed, tokens: [1] }, options)],
    ['saveTail', () => store.saveTail({ tip: seed, tokens: [1], payload }, options)],
    ['loadRawTail', () => store.loadRawTail(seed, options)],
    ['saveRawTail', () => store.saveRawTail(seed, payload, options)],
    ['prefetch', () => store.prefetch(keys, options)],
    ['flush', () => store.flush(options)],
    ['delete', () => store.delete({ kind: 'blocks', keys }, options)],
    ['stats', () => store.stats(options)],
  ];
}

function isCount(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

function assertShape(stats: StoreStats): void {
  for (const tier of [stats.memory, stats.disk]) {
    const { hits, hitBytes, entries, bytes, budgetBytes, evictions } = tier;
    for (const count of [hits, hitBytes, entries, bytes, budgetBytes, evictions]) {
      assert.ok(isCount(count), `a tier counts ${JSON.stringify(tier)}`);
    }
  }
  for (const verb of verbs) assert.ok(isCount(stats.object.requests[verb]), `requests: ${verb}`);
  for (const reason of missReasons) assert.ok(isCount(stats.misses[reason]), `misses: ${reason}`);
  const { object } = stats;
  for (const count of [object.hits, object.hitBytes, object.readBytes, object.writtenBytes]) {
    assert.ok(isCount(count), `the object tier counts ${JSON.stringify(object)}`);
  }
  const { corrupt, pending, pendingBytes, uploadFailures, saved, savedBytes, known, refused } =
    stats;
  const counts = { corrupt, pending, pendingBytes, uploadFailures, saved, savedBytes, known };
  for (const [name, count] of Object.entries({ ...counts, refused })) {
    assert.ok(isCount(count), `${name} is a count: ${count}`);
  }
  assert.ok(stats.lastFailure === undefined || typeof stats.lastFailure === 'string');
}

/** Opening, counting, closing. */
export const lifecycleCases: readonly KvStoreCase[] = [
  {
    name: 'stats() of a fresh store has every counter, at zero',
    async run(world) {
      const budgets = { memoryBytes: 32 * mib, diskBytes: 128 * mib };
      const store = await openStore(world, 'host', budgets);
      const stats = await store.stats();
      assertShape(stats);
      assert.deepEqual(
        [stats.saved, stats.savedBytes, stats.known, stats.pending, stats.pendingBytes],
        [0, 0, 0, 0, 0],
      );
      assert.deepEqual([stats.corrupt, stats.refused, stats.uploadFailures], [0, 0, 0]);
      assert.deepEqual([stats.memory.bytes, stats.memory.hits, stats.disk.hits], [0, 0, 0]);
      assert.equal(stats.lastFailure, undefined);
      assert.equal(stats.memory.budgetBytes, budgets.memoryBytes);
      assert.equal(stats.disk.budgetBytes, budgets.diskBytes);
      await store.close();
    },
  },
  {
    name: 'stats() counts what was saved, given and missed',
    async run(world) {
      const chain = chainOf('counted', 4, 1000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 3));
      await store.save(chain.blocks.slice(0, 2));
      await store.flush();
      await assertLoads(store, chain, { count: 3, reason: 'unknown' });
      const stats = await store.stats();
      assertShape(stats);
      assert.deepEqual([stats.saved, stats.savedBytes, stats.known], [3, 3000, 2]);
      assert.deepEqual([stats.pending, stats.pendingBytes], [0, 0]);
      assert.equal(stats.memory.hits + stats.disk.hits + stats.object.hits, 3);
      assert.equal(stats.memory.hitBytes + stats.disk.hitBytes + stats.object.hitBytes, 3000);
      assert.equal(stats.object.hits, 0);
      assert.ok(stats.misses.unknown >= 1);
      assert.ok(stats.object.requests.put >= 3);
      assert.ok(stats.object.writtenBytes >= 3000);
      await store.close();
    },
  },
  {
    name: 'stats() counts what is pending, and why, while uploads are refused',
    async run(world) {
      const chain = chainOf('pending', 3, 2000);
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      const stats = await store.stats();
      assert.deepEqual([stats.pending, stats.pendingBytes], [3, 6000]);
      await assertRejects(() => store.flush({ deadlineMs: 10_000 }), 'UNAVAILABLE');
      const after = await store.stats();
      assert.deepEqual([after.pending, after.pendingBytes], [3, 6000]);
      assert.ok(after.uploadFailures >= 1);
      assert.equal(typeof after.lastFailure, 'string');
      await world.faults.setMode('none');
      await store.flush();
      const last = await store.stats();
      assert.deepEqual([last.pending, last.pendingBytes], [0, 0]);
      await store.close();
    },
  },
  {
    name: 'every call after close() rejects with CLOSED',
    async run(world) {
      const store = await openStore(world, 'host');
      await store.close();
      for (const [name, call] of everyCall(store)) {
        await assertRejects(async () => call(), 'CLOSED', name);
      }
    },
  },
  {
    name: 'close() may be called again, also while it runs',
    async run(world) {
      const chain = chainOf('close-twice', 3);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await Promise.all([store.close(), store.close()]);
      await store.close();
      const next = await openStore(world, 'host');
      await assertLoadsAll(next, chain);
      await next.close();
    },
  },
  {
    name: 'a second close() resolves no earlier than the first has done its work',
    async run(world) {
      const chain = chainOf('close-waits', 6, 50_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      void store.close();
      await store.close();
      const other = await openStore(world, 'other');
      await assertLoadsAll(other, chain);
      await other.close();
    },
  },
  {
    name: 'calls under way when close() comes end, and give nothing wrong',
    async run(world) {
      const chain = chainOf('close-under-way', 8, 50_000);
      const first = await openStore(world, 'host');
      await saveDurably(first, sliceChain(chain, 0, 6));
      await first.close();
      await world.wipe('host');
      const store = await openStore(world, 'host');
      const loading = store.load(chain.keys).then((borrow) => {
        borrow.blocks.forEach((block, index) =>
          assertSameBytes(block.payload, chain.blocks[index].payload, `block ${index}`),
        );
        borrow.release();
      });
      const saving = store.save(chain.blocks.slice(6));
      const calls = [loading, saving, store.lookup(chain.keys), store.flush()];
      const settled = Promise.allSettled(calls);
      await store.close();
      for (const result of await settled) {
        if (result.status === 'fulfilled') continue;
        await assertRejects(() => Promise.reject(result.reason), ['CLOSED', 'ABORTED']);
      }
      const next = await openStore(world, 'host');
      await assertLoadsAll(next, sliceChain(chain, 0, 6));
      const isSaved = (await saving.catch(() => undefined)) !== undefined;
      if (isSaved) await assertLoadsAll(next, chain);
      await next.close();
    },
  },
  {
    name: 'an unused store opens and closes without a trace in the bucket',
    async run(world) {
      for (let round = 0; round < 3; round += 1) {
        const store = await openStore(world, 'host');
        await store.close();
      }
      assert.equal((await world.bucket.list('')).objects.length, 0);
    },
  },
];
