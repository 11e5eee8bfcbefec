import assert from 'node:assert/strict';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import { withTimeLimit } from '../support/waiting.ts';
import type { KvStoreCase, World } from './kv-store-harness.ts';
import { everyCall } from './kv-store-lifecycle.ts';
import {
  answerOrFault,
  assertLoads,
  assertLoadsAll,
  assertLoadsAtLast,
  assertLookup,
  assertRejects,
  flushAtLast,
  onFreshHost,
  openStore,
  saveDurably,
} from './kv-store-steps.ts';

/** Deadline given to calls on a hanging bucket, and the time after which they count as hung. */
const deadlineMs = 300;
const hungMs = 5000;
/** So often a daemon that has no processor until the deadline of a call is asked again. */
const repeatsMax = 20;

/** What the call gives that ends by its deadline: a daemon on a busy machine may not have come to answer it. */
async function inTime<Result>(name: string, call: () => Promise<Result>): Promise<Result> {
  for (let repeats = 0; ; repeats += 1) {
    try {
      return await withTimeLimit(hungMs, name, call);
    } catch (error) {
      if (repeats === repeatsMax || !isStoreError(error, 'UNAVAILABLE')) throw error;
    }
  }
}

/** A fresh host whose bucket holds the chain and hangs. */
async function onHangingBucket(world: World, chain: ReturnType<typeof chainOf>): Promise<KvStore> {
  const writer = await openStore(world, 'writer');
  await saveDurably(writer, chain);
  await writer.close();
  const reader = await openStore(world, 'reader');
  await world.faults.setMode('slow');
  return reader;
}

/** Every call ends by its deadline, or when its signal fires. */
export const deadlineCases: readonly KvStoreCase[] = [
  {
    name: 'every call with a signal that has fired rejects with ABORTED and does nothing',
    async run(world) {
      const store = await openStore(world, 'host');
      for (const [name, call] of everyCall(store, AbortSignal.abort())) {
        await assertRejects(async () => call(), 'ABORTED', name);
      }
      const { keys, seed } = chainOf('every-call', 2);
      await assertLookup(store, keys, 0);
      assert.equal(await store.loadTail({ tip: seed, tokens: [1] }), undefined);
      assert.equal(await store.loadRawTail(seed), undefined);
      const { saved, pending } = await store.stats();
      assert.deepEqual([saved, pending], [0, 0]);
      await store.close();
    },
  },
  {
    name: 'calls that wait for the bucket end with ABORTED when the signal fires',
    async run(world) {
      const chain = chainOf('abort-waiting', 3);
      const fresh = chainOf('abort-waiting-fresh', 2);
      const store = await onHangingBucket(world, chain);
      const query = { tip: chain.seed, tokens: [1, 2] };
      const keys = chain.keys;
      const calls: readonly [string, (signal: AbortSignal) => Promise<unknown>][] = [
        ['lookup', (signal) => store.lookup(keys, { signal })],
        ['contains', (signal) => store.contains(keys, { signal })],
        ['load', (signal) => store.load(keys, { signal })],
        ['prefetch', (signal) => store.prefetch(keys, { signal })],
        ['loadTail', (signal) => store.loadTail(query, { signal })],
        ['loadRawTail', (signal) => store.loadRawTail(chain.seed, { signal })],
        ['save', (signal) => store.save(fresh.blocks, { signal, durable: true })],
        ['delete', (signal) => store.delete({ kind: 'namespace' }, { signal })],
      ];
      for (const [name, call] of calls) {
        const controller = new AbortController();
        const running = withTimeLimit(hungMs, name, () =>
          assertRejects(() => call(controller.signal), 'ABORTED', name),
        );
        await sleep(20);
        controller.abort();
        await running;
      }
      await world.faults.setMode('none');
      await store.close();
    },
  },
  {
    name: 'flush() ends with ABORTED when its signal fires, and goes on to work',
    async run(world) {
      const chain = chainOf('abort-flush', 2);
      const store = await openStore(world, 'host');
      await world.faults.setMode('slow');
      await store.save(chain.blocks);
      const controller = new AbortController();
      const running = withTimeLimit(hungMs, 'flush', () =>
        assertRejects(() => store.flush({ signal: controller.signal }), 'ABORTED'),
      );
      await sleep(20);
      controller.abort();
      await running;
      await world.faults.setMode('none');
      await flushAtLast(store);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'on a hanging bucket lookup() and load() end by their deadline with that reason',
    async run(world) {
      const chain = chainOf('hang-read', 4);
      const store = await onHangingBucket(world, chain);
      const options = { deadlineMs };
      const lookup = await inTime('lookup', () => store.lookup(chain.keys, options));
      assert.equal(lookup.matched, 0);
      assert.equal(lookup.reason, 'deadline');
      await inTime('load', () =>
        assertLoads(store, chain, { count: 0, reason: 'deadline' }, options),
      );
      assert.ok((await store.stats()).misses.deadline >= 1);
      await world.faults.setMode('none');
      await assertLoadsAtLast(store, chain);
      await store.close();
    },
  },
  {
    name: 'on a hanging bucket the store’s own deadlines end lookup() and load()',
    async run(world) {
      const chain = chainOf('hang-settings', 4);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      const deadlines = { lookupDeadlineMs: 200, loadDeadlineMs: 400 };
      const store = await openStore(world, 'reader', deadlines);
      await world.faults.setMode('slow');
      const lookup = await inTime('lookup', () => store.lookup(chain.keys));
      assert.deepEqual([lookup.matched, lookup.reason], [0, 'deadline']);
      await inTime('load', () => assertLoads(store, chain, { count: 0, reason: 'deadline' }));
      await world.faults.setMode('none');
      await store.close();
    },
  },
  {
    name: 'on a hanging bucket every other call ends by its deadline too',
    async run(world) {
      const chain = chainOf('hang-calls', 3);
      const fresh = chainOf('hang-fresh', 2);
      const store = await onHangingBucket(world, chain);
      const options = { deadlineMs };
      const query = { tip: chain.seed, tokens: [1, 2] };
      const { payload } = fresh.blocks[0];
      const reads: readonly [string, () => Promise<unknown>][] = [
        ['contains', () => store.contains(chain.keys, options)],
        ['prefetch', () => store.prefetch(chain.keys, options)],
        ['loadTail', () => store.loadTail(query, options)],
        ['loadRawTail', () => store.loadRawTail(chain.seed, options)],
        ['stats', () => store.stats(options)],
      ];
      for (const [name, call] of reads)
        await withTimeLimit(hungMs, name, () => answerOrFault(call));
      const durable = { ...options, durable: true };
      const writes: readonly [string, () => Promise<unknown>][] = [
        ['save', () => store.save(fresh.blocks, durable)],
        ['saveTail', () => store.saveTail({ ...query, payload }, durable)],
        ['saveRawTail', () => store.saveRawTail(chain.seed, payload, durable)],
        ['delete', () => store.delete({ kind: 'namespace' }, options)],
      ];
      for (const [name, call] of writes) {
        await withTimeLimit(hungMs, name, () =>
          assertRejects(call, ['ABORTED', 'UNAVAILABLE'], name),
        );
      }
      await world.faults.setMode('none');
      await store.close();
    },
  },
  {
    name: 'on a hanging bucket saves are accepted and served, and flush() ends by its deadline',
    async run(world) {
      const chain = chainOf('hang-save', 5, 3000);
      const known = chainOf('hang-known', 3);
      const store = await onHangingBucket(world, known);
      await withTimeLimit(hungMs, 'save', () => store.save(chain.blocks, { deadlineMs: hungMs }));
      await withTimeLimit(hungMs, 'lookup', () => assertLookup(store, chain.keys, 5));
      await withTimeLimit(hungMs, 'load', () => assertLoadsAll(store, chain));
      await withTimeLimit(hungMs, 'flush', () =>
        assertRejects(() => store.flush({ deadlineMs }), ['ABORTED', 'UNAVAILABLE']),
      );
      await world.faults.setMode('none');
      await flushAtLast(store);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'on a hanging bucket a load gives what is at hand before its deadline',
    async run(world) {
      const chain = chainOf('hang-part', 6, 2000);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      const store = await openStore(world, 'reader');
      await assertLoadsAll(store, sliceChain(chain, 0, 4));
      await world.faults.setMode('slow');
      const lookup = await inTime('lookup', () => store.lookup(chain.keys, { deadlineMs }));
      assert.ok(lookup.matched >= 4, `${lookup.matched} matched`);
      await inTime('load', () =>
        assertLoads(store, chain, { count: 4, reason: 'deadline' }, { deadlineMs }),
      );
      await world.faults.setMode('none');
      await store.close();
    },
  },
  {
    name: 'a load that its caller aborts does not end the load of another',
    async run(world) {
      const chain = chainOf('abort-one', 3, 20_000);
      const store = await onHangingBucket(world, chain);
      const controller = new AbortController();
      const aborted = assertRejects(
        () => store.load(chain.keys, { signal: controller.signal }),
        'ABORTED',
      );
      const patient = store.load(chain.keys);
      await sleep(20);
      controller.abort();
      await aborted;
      // The hanging requests fail now, and the patient load ends with them or asks again.
      await world.faults.setMode('none');
      const borrow = await patient;
      assert.ok(borrow.blocks.length === 3 || borrow.reason === 'unavailable', borrow.reason);
      borrow.release();
      await assertLoadsAtLast(store, chain);
      await store.close();
    },
  },
  {
    name: 'a save aborted at any moment leaves all or nothing, whatever its caller does next',
    async run(world) {
      const store = await openStore(world, 'host');
      const outcomes = new Set<number>();
      for (let turns = 0; turns < 16; turns += 1) {
        const chain = chainOf(`abort-save-${turns}`, 8, 10_000);
        const controller = new AbortController();
        const copies = chain.blocks.map((block) => ({
          ...block,
          payload: Uint8Array.from(block.payload),
        }));
        const saving = store.save(copies, { signal: controller.signal }).then(
          () => undefined,
          (error: unknown) => error,
        );
        for (let turn = 0; turn < turns; turn += 1) await nextTurn();
        controller.abort();
        const error = await saving;
        for (const { payload } of copies) payload.fill(0x55);
        assert.ok(error === undefined || isStoreError(error, 'ABORTED'), String(error));
        const { matched } = await store.lookup(chain.keys);
        assert.ok(matched === 8 || (error !== undefined && matched === 0), `${matched} matched`);
        await assertLoadsAll(store, sliceChain(chain, 0, matched));
        outcomes.add(matched);
      }
      assert.ok(outcomes.has(0), 'some were aborted in time');
      await store.flush();
      await store.close();
    },
  },
];
