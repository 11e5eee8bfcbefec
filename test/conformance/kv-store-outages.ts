import assert from 'node:assert/strict';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import { eventually, withTimeLimit } from '../support/waiting.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  answerOrFault,
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertRawTail,
  assertRejects,
  assertTail,
  kib,
  mib,
  onFreshHost,
  openStore,
  saveDurably,
} from './kv-store-steps.ts';

/** Why a lookup may stop when the bucket does not answer. */
const outageReasons: readonly (string | undefined)[] = ['unavailable', 'deadline'];

/** The lookup must give so many of the keys, and blame the bucket for the rest. */
async function assertLookupInOutage(store: KvStore, chain: Chain, matched: number): Promise<void> {
  const lookup = await store.lookup(chain.keys, { deadlineMs: 3000 });
  assert.equal(lookup.matched, matched);
  const isWhole = matched === chain.keys.length;
  assert.ok(isWhole || outageReasons.includes(lookup.reason), `reason ${lookup.reason}`);
}

/** Saves blocks until one is refused with BUSY; returns how many were accepted. */
async function saveUntilBusy(store: KvStore, chain: Chain): Promise<number> {
  for (const [index, block] of chain.blocks.entries()) {
    try {
      await store.save([block]);
    } catch (error) {
      assert.ok(isStoreError(error, 'BUSY'), `BUSY, not ${String(error)}`);
      return index;
    }
  }
  assert.fail(`all ${chain.blocks.length} blocks were accepted`);
}

/** The bucket is gone, or refuses, for a while. */
export const outageCases: readonly KvStoreCase[] = [
  {
    name: 'with the bucket gone a fresh host misses with reason unavailable, and recovers',
    async run(world) {
      const chain = chainOf('gone-fresh', 4);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      const reader = await openStore(world, 'reader');
      await world.faults.setMode('unavailable');
      await assertLookupInOutage(reader, chain, 0);
      await assertLoads(reader, chain, { count: 0, reason: 'unavailable' }, { deadlineMs: 10_000 });
      const stats = await reader.stats();
      assert.ok(stats.misses.unavailable >= 1);
      assert.equal(typeof stats.lastFailure, 'string');
      await world.faults.setMode('none');
      const seen = async (): Promise<boolean> => (await reader.lookup(chain.keys)).matched === 4;
      await eventually('the reader finds the chain', seen);
      await assertLoadsAll(reader, chain);
      await reader.close();
    },
  },
  {
    name: 'with the bucket gone a host serves what it has, then stops with the reason',
    async run(world) {
      const chain = chainOf('gone-warm', 6);
      const store = await openStore(world, 'host');
      await saveDurably(store, sliceChain(chain, 0, 4));
      await world.faults.setMode('unavailable');
      await assertLookupInOutage(store, chain, 4);
      await assertLoadsAll(store, sliceChain(chain, 0, 4));
      await assertLoads(store, chain, { count: 4, reason: 'unavailable' }, { deadlineMs: 10_000 });
      await store.save(chain.blocks.slice(4), { parent: chain.keys[3] });
      await assertLookup(store, chain.keys, 6);
      await assertLoadsAll(store, chain);
      await world.faults.setMode('none');
      await store.close();
    },
  },
  {
    name: 'with the bucket gone lookup() still knows what it was told before',
    async run(world) {
      const chain = chainOf('gone-known', 5);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      const reader = await openStore(world, 'reader');
      await assertLookup(reader, chain.keys, 5);
      await world.faults.setMode('unavailable');
      await assertLookup(reader, chain.keys, 5);
      await assertLoads(reader, chain, { count: 0, reason: 'unavailable' }, { deadlineMs: 10_000 });
      await world.faults.setMode('none');
      const loads = async (): Promise<boolean> => {
        const borrow = await reader.load(chain.keys);
        borrow.release();
        return borrow.blocks.length === 5;
      };
      await eventually('the reader loads the chain', loads);
      await assertLoadsAll(reader, chain);
      await reader.close();
    },
  },
  {
    name: 'with the bucket gone saves are accepted, flush() fails, and recovery uploads all',
    async run(world) {
      const chain = chainOf('gone-save', 8, 10_000);
      const payload = randomPayload('gone-tail', 800);
      const tip = chain.keys[7];
      const store = await openStore(world, 'host');
      await world.faults.setMode('unavailable');
      await store.save(chain.blocks);
      await store.saveTail({ tip, tokens: [1], payload });
      await store.saveRawTail(tip, payload);
      await assertLookup(store, chain.keys, 8);
      await assertLoadsAll(store, chain);
      await assertTail(store, { tip, tokens: [1] }, { tokens: 1, payload });
      await assertRawTail(store, tip, payload);
      await assertRejects(() => store.flush({ deadlineMs: 5000 }), 'UNAVAILABLE');
      assert.equal((await store.stats()).pending, 10);
      await world.faults.setMode('none');
      await store.flush();
      assert.equal((await store.stats()).pending, 0);
      await onFreshHost(world, 'other', async (other) => {
        await assertLoadsAll(other, chain);
        await assertTail(other, { tip, tokens: [1] }, { tokens: 1, payload });
        await assertRawTail(other, tip, payload);
      });
      await store.close();
    },
  },
  {
    name: 'after an outage uploads go on without being asked',
    async run(world) {
      const chain = chainOf('gone-resume', 3);
      const store = await openStore(world, 'host');
      await world.faults.setMode('unavailable');
      await store.save(chain.blocks);
      const failed = async (): Promise<boolean> => (await store.stats()).uploadFailures > 0;
      await eventually('an upload fails', failed);
      await world.faults.setMode('none');
      const drained = async (): Promise<boolean> => (await store.stats()).pending === 0;
      await eventually('nothing is pending', drained, 30_000);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'at the backlog limit a save is refused with BUSY and leaves nothing',
    async run(world) {
      const chain = chainOf('busy', 64, 256 * kib);
      const store = await openStore(world, 'host', { backlogBytes: 4 * mib });
      await world.faults.setMode('unavailable');
      const accepted = await saveUntilBusy(store, chain);
      assert.ok(accepted >= 8 && accepted <= 16, `${accepted} blocks of 256 KiB accepted`);
      const refused = sliceChain(chain, accepted, accepted + 3);
      await assertRejects(() => store.save(refused.blocks), 'BUSY');
      await assertRejects(() => store.saveRawTail(chain.seed, new Uint8Array(4 * mib)), 'BUSY');
      const { keys } = refused;
      assert.deepEqual(
        [...((await answerOrFault(() => store.contains(keys))) ?? [false, false, false])],
        [false, false, false],
      );
      const stats = await store.stats();
      assert.ok(stats.refused >= 3, `${stats.refused} refused`);
      assert.ok(stats.pendingBytes <= 4 * mib);
      await assertLoadsAll(store, sliceChain(chain, 0, accepted));
      assert.equal((await store.save(chain.blocks.slice(0, accepted))).known, accepted);
      await world.faults.setMode('none');
      await store.flush();
      await store.save(chain.blocks.slice(0, accepted + 8));
      await store.flush();
      const all = sliceChain(chain, 0, accepted + 8);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, all));
      await store.close();
    },
  },
  {
    name: 'an outage that outlives the process loses nothing',
    async run(world) {
      const chain = chainOf('gone-over-restart', 6, 4000);
      const payload = randomPayload('gone-raw', 300);
      let store = await openStore(world, 'host');
      await world.faults.setMode('unavailable');
      await store.save(chain.blocks.slice(0, 3));
      await store.saveRawTail(chain.seed, payload);
      await world.crash(store);
      store = await openStore(world, 'host');
      await assertLoadsAll(store, sliceChain(chain, 0, 3));
      await store.save(chain.blocks.slice(3), { parent: chain.keys[2] });
      await world.crash(store);
      store = await openStore(world, 'host');
      await assertLoadsAll(store, chain);
      await assertRawTail(store, chain.seed, payload);
      await world.faults.setMode('none');
      await store.flush();
      await onFreshHost(world, 'other', async (other) => {
        await assertLoadsAll(other, chain);
        await assertRawTail(other, chain.seed, payload);
      });
      await store.close();
    },
  },
  {
    name: 'a restarted store keeps the backlog limit',
    async run(world) {
      const chain = chainOf('busy-restart', 64, 256 * kib);
      const options = { backlogBytes: 4 * mib };
      await world.faults.setMode('unavailable');
      let store = await openStore(world, 'host', options);
      const accepted = await saveUntilBusy(store, chain);
      await world.crash(store);
      store = await openStore(world, 'host', options);
      const more = await saveUntilBusy(store, sliceChain(chain, accepted));
      assert.ok(more <= 1, `${more} more blocks accepted`);
      await assertLoadsAll(store, sliceChain(chain, 0, accepted));
      await world.faults.setMode('none');
      await store.flush();
      await store.close();
    },
  },
  {
    name: 'refused uploads stay pending and show, and reading goes on',
    async run(world) {
      const durable = chainOf('refused-read', 3);
      const chain = chainOf('refused', 3);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, durable);
      await writer.close();
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await assertLoadsAll(store, durable);
      await assertLoadsAll(store, chain);
      await assertRejects(() => store.flush({ deadlineMs: 10_000 }), 'UNAVAILABLE');
      const stats = await store.stats();
      assert.equal(stats.pending, 3);
      assert.ok(stats.uploadFailures >= 1);
      assert.equal(typeof stats.lastFailure, 'string');
      await world.faults.setMode('none');
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'tails in an outage are those at hand, or a miss, never a hang',
    async run(world) {
      const { seed: tip } = chainOf('gone-tails', 1);
      const payload = randomPayload('gone-tails', 400);
      const writer = await openStore(world, 'writer');
      await writer.saveTail({ tip, tokens: [1, 2], payload }, { durable: true });
      await writer.saveRawTail(tip, payload, { durable: true });
      const reader = await openStore(world, 'reader');
      await world.faults.setMode('unavailable');
      await assertTail(writer, { tip, tokens: [1, 2, 3] }, { tokens: 2, payload });
      const options = { deadlineMs: 2000 };
      await withTimeLimit(20_000, 'the tails of a fresh host', async () => {
        const query = { tip, tokens: [1, 2] };
        assert.equal(await answerOrFault(() => reader.loadTail(query, options)), undefined);
        assert.equal(await answerOrFault(() => reader.loadRawTail(tip, options)), undefined);
      });
      await world.faults.setMode('none');
      const seen = async (): Promise<boolean> => {
        const found = await reader.loadTail({ tip, tokens: [1, 2] });
        found?.release();
        return found !== undefined;
      };
      await eventually('the reader finds the tail', seen);
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'deleting with the bucket gone fails and may be repeated',
    async run(world) {
      const chain = chainOf('gone-delete', 3);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      await world.faults.setMode('unavailable');
      await assertRejects(
        () => store.delete({ kind: 'namespace' }, { deadlineMs: 3000 }),
        ['UNAVAILABLE', 'ABORTED'],
      );
      await world.faults.setMode('none');
      await store.delete({ kind: 'namespace' });
      await assertLookup(store, chain.keys, 0);
      await onFreshHost(world, 'other', (other) => assertLookup(other, chain.keys, 0));
      await store.close();
    },
  },
  {
    name: 'a store opens while the bucket is gone',
    async run(world) {
      const chain = chainOf('gone-open', 2);
      await world.faults.setMode('unavailable');
      const store = await withTimeLimit(20_000, 'opening', () => openStore(world, 'host'));
      await store.save(chain.blocks);
      await assertLoadsAll(store, chain);
      await world.faults.setMode('none');
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
];
