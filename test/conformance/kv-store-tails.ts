import assert from 'node:assert/strict';
import { limits } from '../../src/blocks/limits.ts';
import { chainOf, tokensOf } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import { tailObjects } from '../support/stored-objects.ts';
import { eventually } from '../support/waiting.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoadsAll,
  assertRawTail,
  assertTail,
  defaultNamespace,
  mib,
  onFreshHost,
  openStore,
  wipeAndReopen,
} from './kv-store-steps.ts';

const chain = chainOf('tails', 3);
const [tip, otherTip] = chain.keys;
const tokens = tokensOf('tails', 40);

/** A tail of the first `count` tokens of the test's sequence. */
function tailOf(count: number, byteLength = 500) {
  return {
    tip,
    tokens: tokens.slice(0, count),
    payload: randomPayload(`tail-${count}`, byteLength),
  };
}

/** Tails that are bound to their tip and tokens. */
export const tailCases: readonly KvStoreCase[] = [
  {
    name: 'a tail comes back for its own tokens as soon as it is saved',
    async run(world) {
      const tail = tailOf(7);
      const store = await openStore(world, 'host');
      assert.equal(await store.loadTail(tail), undefined);
      const result = await store.saveTail(tail);
      assert.deepEqual([result.saved, result.known, result.savedBytes], [1, 0, 500]);
      await assertTail(store, tail, { tokens: 7, payload: tail.payload });
      await store.close();
    },
  },
  {
    name: 'a tail comes back for longer tokens that begin with its own',
    async run(world) {
      const tail = tailOf(7);
      const store = await openStore(world, 'host');
      await store.saveTail(tail);
      await assertTail(store, { tip, tokens }, { tokens: 7, payload: tail.payload });
      await store.close();
    },
  },
  {
    name: 'a tail never applies to other tokens',
    async run(world) {
      const tail = tailOf(7);
      let store = await openStore(world, 'host');
      await store.saveTail(tail);
      for (const round of ['live', 'wiped']) {
        for (let at = 0; at < 7; at += 1) {
          const changed = tokens.slice(0, 20);
          changed[at] = (changed[at] + 1) | 0;
          const found = await store.loadTail({ tip, tokens: changed });
          assert.equal(found, undefined, `${round}: token ${at} differs`);
        }
        assert.equal(await store.loadTail({ tip, tokens: tokens.slice(0, 6) }), undefined);
        assert.equal(await store.loadTail({ tip, tokens: [] }), undefined);
        assert.equal(await store.loadTail({ tip, tokens: tokens.slice(1) }), undefined);
        if (round === 'live') store = await wipeAndReopen(world, 'host', store);
      }
      await assertTail(store, tail, { tokens: 7, payload: tail.payload });
      await store.close();
    },
  },
  {
    name: 'a tail never applies under another tip',
    async run(world) {
      const tail = tailOf(7);
      const store = await openStore(world, 'host');
      await store.saveTail(tail);
      assert.equal(await store.loadTail({ ...tail, tip: otherTip }), undefined);
      assert.equal(await store.loadTail({ ...tail, tip: chain.seed }), undefined);
      const other = randomPayload('under the other tip', 200);
      await store.saveTail({ ...tail, tip: otherTip, payload: other });
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertTail(wiped, tail, { tokens: 7, payload: tail.payload });
      await assertTail(wiped, { ...tail, tip: otherTip }, { tokens: 7, payload: other });
      assert.equal(await wiped.loadTail({ ...tail, tip: chain.seed }), undefined);
      await wiped.close();
    },
  },
  {
    name: 'of several tails that match the longest wins',
    async run(world) {
      const tails = [3, 12, 5].map((count) => tailOf(count));
      let store = await openStore(world, 'host');
      for (const tail of tails) await store.saveTail(tail);
      for (const round of ['live', 'wiped']) {
        const [three, twelve, five] = tails.map(({ payload }) => payload);
        const first = (count: number) => ({ tip, tokens: tokens.slice(0, count) });
        await assertTail(store, first(40), { tokens: 12, payload: twelve });
        await assertTail(store, first(12), { tokens: 12, payload: twelve });
        await assertTail(store, first(11), { tokens: 5, payload: five });
        await assertTail(store, first(4), { tokens: 3, payload: three });
        assert.equal(await store.loadTail(first(2)), undefined);
        const branch = { tip, tokens: [...tokens.slice(0, 6), 1, 2, 3, 4, 5, 6, 7] };
        await assertTail(store, branch, { tokens: 5, payload: five });
        if (round === 'live') store = await wipeAndReopen(world, 'host', store);
      }
      await store.close();
    },
  },
  {
    name: 'tails of equal length under one tip are told apart by their tokens',
    async run(world) {
      const sequences = [1, 2, 3].map((branch) => [10, branch, 30]);
      const store = await openStore(world, 'host');
      for (const sequence of sequences) {
        const payload = randomPayload(sequence.join(), 333);
        await store.saveTail({ tip, tokens: sequence, payload });
      }
      const wiped = await wipeAndReopen(world, 'host', store);
      for (const sequence of sequences) {
        const payload = randomPayload(sequence.join(), 333);
        await assertTail(wiped, { tip, tokens: [...sequence, 4] }, { tokens: 3, payload });
      }
      assert.equal(await wiped.loadTail({ tip, tokens: [10, 4, 30] }), undefined);
      await wiped.close();
    },
  },
  {
    name: 'a tail may continue the empty chain',
    async run(world) {
      const tail = { ...tailOf(9), tip: chain.seed };
      const store = await openStore(world, 'host');
      await store.saveTail(tail);
      await assertTail(store, tail, { tokens: 9, payload: tail.payload });
      assert.equal(await store.loadTail({ ...tail, tip }), undefined);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertTail(wiped, tail, { tokens: 9, payload: tail.payload });
      await wiped.close();
    },
  },
  {
    name: 'tokens may be any 32-bit integers in any array',
    async run(world) {
      const sequence = [-1, 0, 2 ** 31 - 1, -(2 ** 31), 151_643];
      const payload = randomPayload('tokens', 50);
      const store = await openStore(world, 'host');
      await store.saveTail({ tip, tokens: Int32Array.from(sequence), payload });
      await assertTail(store, { tip, tokens: sequence }, { tokens: 5, payload });
      const like = { ...sequence, length: 5 };
      await assertTail(store, { tip, tokens: like }, { tokens: 5, payload });
      await store.close();
    },
  },
  {
    name: 'tails of every size survive restart and wipe',
    async run(world) {
      const tails = [0, 1, 4097, mib + 1].map((size, index) => tailOf(index + 1, size));
      let store = await openStore(world, 'host');
      for (const tail of tails) await store.saveTail(tail);
      for (const next of ['restart', 'wipe', 'end']) {
        for (const tail of tails) {
          await assertTail(store, tail, { tokens: tail.tokens.length, payload: tail.payload });
        }
        await store.close();
        if (next === 'end') break;
        if (next === 'wipe') await world.wipe('host');
        store = await openStore(world, 'host');
      }
    },
  },
  {
    name: 'a tail saved again with the same tokens stays one tail',
    async run(world) {
      const tail = tailOf(6);
      const store = await openStore(world, 'host');
      await store.saveTail(tail, { durable: true });
      const again = await store.saveTail(tail, { durable: true });
      assert.equal(again.saved + again.known, 1);
      await assertTail(store, tail, { tokens: 6, payload: tail.payload });
      const objects = await tailObjects(world.bucket, { namespace: defaultNamespace, key: tip });
      assert.equal(objects.length, 1);
      await store.close();
    },
  },
  {
    name: 'more tails than a tip may have leave the newest usable and the bucket bounded',
    async run(world) {
      const lengths = [30, 3, 28, 5, 26, 7, 24, 9, 22, 11, 20, 13, 18, 15];
      const store = await openStore(world, 'host');
      for (const length of lengths) {
        const tail = tailOf(length, 100);
        await store.saveTail(tail, { durable: true });
        await assertTail(store, tail, { tokens: length, payload: tail.payload });
      }
      await store.flush();
      const isBounded = async (): Promise<boolean> => {
        const name = { namespace: defaultNamespace, key: tip };
        return (await tailObjects(world.bucket, name)).length <= limits.tailsPerTipMax;
      };
      await eventually('the tip has no more tails than it may', isBounded);
      const newest = tailOf(15, 100);
      await assertTail(store, newest, { tokens: 15, payload: newest.payload });
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertTail(wiped, newest, { tokens: 15, payload: newest.payload });
      for (const length of lengths) {
        const found = await wiped.loadTail({ tip, tokens: tokens.slice(0, length) });
        if (found === undefined) continue;
        const { payload } = tailOf(found.tokens, 100);
        assert.equal(Buffer.compare(found.payload, payload), 0, `tail of ${found.tokens} tokens`);
        found.release();
      }
      await wiped.close();
    },
  },
  {
    name: 'a live host finds a tail that another made durable',
    async run(world) {
      const tail = tailOf(8);
      const reader = await openStore(world, 'reader');
      assert.equal(await reader.loadTail(tail), undefined);
      const writer = await openStore(world, 'writer');
      await writer.saveTail(tail, { durable: true });
      const seen = async (): Promise<boolean> => {
        const found = await reader.loadTail(tail);
        found?.release();
        return found !== undefined;
      };
      await eventually('the reader finds the tail', seen, 10_000);
      await assertTail(reader, tail, { tokens: 8, payload: tail.payload });
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'exact loads pass over tails with decoded tokens',
    async run(world) {
      const short = tailOf(4);
      const long = { ...tailOf(10), hasDecodedTokens: true };
      let store = await openStore(world, 'host');
      await store.saveTail(short);
      await store.saveTail(long);
      for (const round of ['live', 'wiped']) {
        const query = { tip, tokens };
        const found = await store.loadTail(query);
        assert.deepEqual([found?.tokens, found?.hasDecodedTokens], [10, true], round);
        found?.release();
        await assertTail(store, query, { tokens: 4, payload: short.payload }, { exact: true });
        if (round === 'live') store = await wipeAndReopen(world, 'host', store);
      }
      await store.close();
    },
  },
  {
    name: 'a block, a tail and a raw tail under one key are three things',
    async run(world) {
      const tail = tailOf(5);
      const raw = randomPayload('raw', 77);
      let store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await store.saveTail(tail);
      await store.saveRawTail(tip, raw);
      for (const round of ['live', 'wiped']) {
        await assertLoadsAll(store, chain);
        await assertTail(store, tail, { tokens: 5, payload: tail.payload });
        await assertRawTail(store, tip, raw);
        if (round === 'live') store = await wipeAndReopen(world, 'host', store);
      }
      await store.delete({ kind: 'blocks', keys: [chain.keys[2]] });
      await assertTail(store, tail, { tokens: 5, payload: tail.payload });
      await assertRawTail(store, tip, raw);
      await store.close();
    },
  },
  {
    name: 'a tail is no block and a block is no tail',
    async run(world) {
      const tail = tailOf(5);
      const store = await openStore(world, 'host');
      await store.saveTail(tail, { durable: true });
      await store.saveRawTail(otherTip, tail.payload, { durable: true });
      assert.deepEqual([...(await store.contains([tip, otherTip]))], [false, false]);
      assert.equal((await store.lookup([tip])).matched, 0);
      await store.save([chain.blocks[2]], { durable: true });
      const query = { tip: chain.keys[2], tokens };
      assert.equal(await store.loadTail(query), undefined);
      assert.equal(await store.loadRawTail(chain.keys[2]), undefined);
      await onFreshHost(world, 'other', async (other) => {
        assert.deepEqual([...(await other.contains([tip, otherTip]))], [false, false]);
        assert.equal(await other.loadTail(query), undefined);
        assert.equal(await other.loadRawTail(chain.keys[2]), undefined);
      });
      await store.close();
    },
  },
];
