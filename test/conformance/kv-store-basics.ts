import assert from 'node:assert/strict';
import {
  chainOf,
  chainOfPayloads,
  chainOfSizes,
  sliceChain,
  withOtherPayloads,
} from '../support/chains.ts';
import { inSharedMemory, insideLarger, randomPayload, smoothPayload } from '../support/payloads.ts';
import { blockObject, readObject } from '../support/stored-objects.ts';
import { eventually } from '../support/waiting.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertSameBytes,
  defaultNamespace,
  kib,
  mib,
  objectHits,
  onFreshHost,
  openStore,
  saveDurably,
  wipeAndReopen,
} from './kv-store-steps.ts';

/** Saving and finding blocks on one host. */
export const basicCases: readonly KvStoreCase[] = [
  {
    name: 'calls with no keys answer at once and ask the bucket nothing',
    async run(world) {
      const store = await openStore(world, 'host');
      const before = (await store.stats()).object.requests;
      assert.equal((await store.lookup([])).matched, 0);
      assert.equal((await store.lookup([])).reason, undefined);
      assert.deepEqual([...(await store.contains([]))], []);
      const borrow = await store.load([]);
      assert.equal(borrow.blocks.length, 0);
      assert.equal(borrow.reason, undefined);
      borrow.release();
      const saved = await store.save([]);
      assert.deepEqual([saved.saved, saved.known, saved.savedBytes], [0, 0, 0]);
      const durable = await store.save([], { durable: true });
      assert.deepEqual([durable.saved, durable.known, durable.savedBytes], [0, 0, 0]);
      assert.equal(await store.prefetch([]), 0);
      assert.equal((await store.delete({ kind: 'blocks', keys: [] })).objects, 0);
      await store.flush();
      assert.deepEqual({ ...(await store.stats()).object.requests }, { ...before });
      await store.close();
    },
  },
  {
    name: 'save() then load() gives equal bytes of every size',
    async run(world) {
      const sizes = [0, 1, 127, 4 * kib, 4 * kib + 1, 65_537, mib, mib + 3, 5 * mib - 1, 0, 7];
      const chain = chainOfSizes('sizes', sizes);
      const store = await openStore(world, 'host');
      const result = await store.save(chain.blocks);
      assert.deepEqual(
        [result.saved, result.known, result.savedBytes],
        [sizes.length, 0, chain.byteLength],
      );
      await assertLoadsAll(store, chain);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'a block is found by every call as soon as save() resolves',
    async run(world) {
      const chain = chainOf('at-once', 6);
      const store = await openStore(world, 'host');
      await assertLookup(store, chain.keys, 0);
      await assertLoads(store, chain, { count: 0, reason: 'unknown' });
      for (let count = 1; count <= chain.keys.length; count += 1) {
        await store.save(chain.blocks.slice(count - 1, count));
        await assertLookup(store, chain.keys, count);
        const isThere = await store.contains(chain.keys);
        assert.deepEqual(
          [...isThere],
          chain.keys.map((_, index) => index < count),
        );
        await assertLoadsAll(store, sliceChain(chain, 0, count));
      }
      await store.close();
    },
  },
  {
    name: 'lookup() counts leading blocks and stops at a hole',
    async run(world) {
      const chain = chainOf('lookup-hole', 7);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 3));
      await store.save(chain.blocks.slice(4));
      const lookup = await store.lookup(chain.keys);
      assert.equal(lookup.matched, 3);
      assert.equal(lookup.reason, 'unknown');
      await assertLookup(store, chain.keys.slice(0, 3), 3);
      await assertLookup(store, chain.keys.slice(3), 0);
      await assertLookup(store, chain.keys.slice(4), 3);
      await store.close();
    },
  },
  {
    name: 'load() stops at the first hole with reason unknown',
    async run(world) {
      const chain = chainOf('load-hole', 6);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 2));
      await store.save(chain.blocks.slice(3));
      await assertLoads(store, chain, { count: 2, reason: 'unknown' });
      await assertLoads(store, sliceChain(chain, 2), { count: 0, reason: 'unknown' });
      await assertLoadsAll(store, sliceChain(chain, 3));
      await store.close();
    },
  },
  {
    name: 'contains() answers for every block, holes included, on any host',
    async run(world) {
      const chain = chainOf('contains', 6);
      const expected = [true, true, false, true, false, true];
      const store = await openStore(world, 'host');
      for (const [index, block] of chain.blocks.entries()) {
        if (expected[index]) await store.save([block]);
      }
      assert.deepEqual([...(await store.contains(chain.keys))], expected);
      await store.flush();
      await onFreshHost(world, 'other', async (other) => {
        assert.deepEqual([...(await other.contains(chain.keys))], expected);
      });
      await store.close();
    },
  },
  {
    name: 'an empty payload is a block, not a hole',
    async run(world) {
      const chain = chainOfSizes('empty-payloads', [10, 0, 10, 0]);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks);
      await assertLookup(store, chain.keys, 4);
      assert.deepEqual([...(await store.contains(chain.keys))], [true, true, true, true]);
      await assertLoadsAll(store, chain);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLookup(wiped, chain.keys, 4);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'a key twice in one batch is stored once',
    async run(world) {
      const chain = chainOf('twice', 3, 500);
      const [first, second, third] = chain.blocks;
      const store = await openStore(world, 'host');
      const result = await store.save([first, second, first, third, third]);
      assert.deepEqual([result.saved, result.savedBytes], [3, 1500]);
      assert.equal(result.saved + result.known, 5);
      await assertLoadsAll(store, chain);
      await store.flush();
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'a key asked for twice is answered twice',
    async run(world) {
      const chain = chainOf('asked-twice', 2);
      const [first, second] = chain.keys;
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      const keys = [first, second, first, first];
      for (const current of [store, await openStore(world, 'other')]) {
        await assertLookup(current, keys, 4);
        assert.deepEqual([...(await current.contains(keys))], [true, true, true, true]);
        const borrow = await current.load(keys);
        assert.deepEqual(
          borrow.blocks.map((block) => block.key),
          keys,
        );
        assertSameBytes(borrow.blocks[3].payload, chain.blocks[0].payload, 'the repeated block');
        borrow.release();
        await current.close();
      }
    },
  },
  {
    name: 'saving again moves no bytes',
    async run(world) {
      const chain = chainOf('again', 5, 20_000);
      const store = await openStore(world, 'host');
      const first = await store.save(chain.blocks);
      assert.deepEqual([first.saved, first.known, first.savedBytes], [5, 0, 100_000]);
      await store.flush();
      // What is accepted in shared memory is written to disk later.
      const isOnDisk = async (): Promise<boolean> => (await store.stats()).disk.entries === 5;
      await eventually('all five are on disk', isOnDisk);
      const before = await store.stats();
      for (const durable of [false, true]) {
        const again = await store.save(chain.blocks, { durable });
        assert.deepEqual([again.saved, again.known, again.savedBytes], [0, 5, 0]);
      }
      await store.flush();
      const after = await store.stats();
      assert.equal(after.object.requests.put, before.object.requests.put);
      assert.equal(after.object.writtenBytes, before.object.writtenBytes);
      assert.equal(after.savedBytes, before.savedBytes);
      assert.equal(after.saved, before.saved);
      assert.equal(after.known, before.known + 10);
      assert.equal(after.disk.entries, before.disk.entries);
      assert.equal(after.memory.bytes, before.memory.bytes);
      await store.close();
    },
  },
  {
    name: 'of a batch with old and new blocks only the new ones move',
    async run(world) {
      const chain = chainOf('partly-new', 6, 300);
      const store = await openStore(world, 'host');
      await store.save([...chain.blocks.slice(0, 2), chain.blocks[4]]);
      const result = await store.save(chain.blocks);
      assert.deepEqual([result.saved, result.known, result.savedBytes], [3, 3, 900]);
      await assertLoadsAll(store, chain);
      await store.close();
    },
  },
  {
    name: 'the first writer of a key wins',
    async run(world) {
      const chain = chainOf('first-writer', 3);
      const late = withOtherPayloads(chain, 'late');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 2));
      const result = await store.save(late.blocks);
      assert.deepEqual([result.saved, result.known], [1, 2]);
      const stored = { ...chain, blocks: [...chain.blocks.slice(0, 2), late.blocks[2]] };
      await assertLoadsAll(store, stored);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoadsAll(wiped, stored);
      await wiped.close();
    },
  },
  {
    name: 'token counts and the decoded flag come back as they were saved, from every tier',
    async run(world) {
      const chain = chainOf('facts', 4);
      const [first, second, third, fourth] = chain.blocks;
      const blocks = [
        { ...first, tokens: 256, position: 0 },
        { key: second.key, payload: second.payload },
        { ...third, tokens: 8192, position: 100_000, hasDecodedTokens: true },
        { ...fourth, hasDecodedTokens: false },
      ];
      const expected = [
        [256, false],
        [0, false],
        [8192, true],
        [128, false],
      ];
      let store = await openStore(world, 'host');
      await store.save(blocks, { fingerprint: 'ab'.repeat(32), parent: chain.seed });
      for (const next of ['restart', 'wipe', 'end']) {
        const borrow = await store.load(chain.keys);
        const facts = borrow.blocks.map((block) => [block.tokens, block.hasDecodedTokens]);
        assert.deepEqual(facts, expected, `before ${next}`);
        borrow.release();
        await store.close();
        if (next === 'end') break;
        if (next === 'wipe') await world.wipe('host');
        store = await openStore(world, 'host');
      }
    },
  },
  {
    name: 'payloads may be changed by the caller once save() has resolved',
    async run(world) {
      const chain = chainOf('changed-after', 3, 70_000);
      const copies = chain.blocks.map((block) => ({
        ...block,
        payload: Uint8Array.from(block.payload),
      }));
      const store = await openStore(world, 'host');
      await store.save(copies);
      for (const copy of copies) copy.payload.fill(0xaa);
      await assertLoadsAll(store, chain);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'payloads may be windows of larger arrays and lie in shared memory',
    async run(world) {
      const chain = chainOf('views', 3, 10_001);
      const [first, second, third] = chain.blocks;
      const store = await openStore(world, 'host');
      await store.save([
        { ...first, payload: insideLarger(first.payload) },
        { ...second, payload: inSharedMemory(second.payload) },
        { ...third, payload: insideLarger(inSharedMemory(third.payload)) },
      ]);
      await assertLoadsAll(store, chain);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'bytes that compress, or look like a file of the store, survive every tier',
    async run(world) {
      const plain = chainOf('inner', 1, 5000);
      const store = await openStore(world, 'host');
      await saveDurably(store, plain);
      const inner = await blockObject(world.bucket, {
        namespace: defaultNamespace,
        key: plain.keys[0],
      });
      const magic = new TextEncoder().encode('WBZ1');
      const chain = chainOfPayloads('kinds', [
        new Uint8Array(200_000),
        new Uint8Array(99_999).fill(0xff),
        smoothPayload('even', 300_000),
        smoothPayload('odd', 300_001),
        Uint8Array.from([...magic, ...randomPayload('magic', 1000)]),
        await readObject(world.bucket, inner),
        new TextEncoder().encode('many tokens make a prompt. '.repeat(5000)),
      ]);
      await store.save(chain.blocks);
      await assertLoadsAll(store, chain);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'a chain of hundreds of blocks in one batch is found and loaded whole',
    async run(world) {
      const chain = chainOf('hundreds', 400, 64);
      const store = await openStore(world, 'host');
      const result = await store.save(chain.blocks);
      assert.equal(result.saved, 400);
      await assertLookup(store, chain.keys, 400);
      await assertLoadsAll(store, chain);
      assert.equal((await store.contains(chain.keys)).filter(Boolean).length, 400);
      await store.close();
    },
  },
  {
    name: 'exact loads take blocks with decoded tokens for misses with reason decoded',
    async run(world) {
      const chain = chainOf('exact', 4);
      const blocks = chain.blocks.map((block, index) => ({
        ...block,
        hasDecodedTokens: index === 2,
      }));
      const store = await openStore(world, 'host');
      await store.save(blocks);
      await assertLoads(store, chain, { count: 2, reason: 'decoded' }, { exact: true });
      await assertLoadsAll(store, sliceChain(chain, 0, 2), { exact: true });
      await assertLoadsAll(store, chain, { exact: false });
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoads(wiped, chain, { count: 2, reason: 'decoded' }, { exact: true });
      await assertLoadsAll(wiped, chain);
      const { misses } = await wiped.stats();
      assert.ok(misses.decoded >= 1, 'the miss is counted under its reason');
      await wiped.close();
    },
  },
  {
    name: 'loads with a fingerprint take blocks and tails of another one for misses',
    async run(world) {
      const chain = chainOf('fingerprints', 4);
      const [own, other] = ['ab'.repeat(32), 'cd'.repeat(32)];
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 1), { fingerprint: own });
      await store.save(chain.blocks.slice(1, 2));
      await store.save(chain.blocks.slice(2), { fingerprint: other });
      const tail = { tip: chain.keys[3], tokens: [1, 2], payload: chain.blocks[0].payload };
      await store.saveTail(tail, { fingerprint: other });
      let current = store;
      for (const round of ['live', 'wiped']) {
        const refused = { count: 2, reason: 'other-fingerprint' } as const;
        await assertLoads(current, chain, refused, { fingerprint: own });
        assert.equal(await current.loadTail(tail, { fingerprint: own }), undefined);
        const { misses } = await current.stats();
        assert.equal(misses['other-fingerprint'], 2, 'a block and a tail, counted by their reason');
        await assertLoads(
          current,
          chain,
          { count: 0, reason: 'other-fingerprint' },
          { fingerprint: other },
        );
        // Whoever does not say what it is, or says zeros, takes what is there.
        await assertLoadsAll(current, chain);
        await assertLoadsAll(current, chain, { fingerprint: '00'.repeat(32) });
        (await current.loadTail(tail, { fingerprint: other }))?.release();
        if (round === 'live') current = await wipeAndReopen(world, 'host', current);
      }
      await current.close();
    },
  },
  {
    name: 'prefetch() brings leading blocks to the memory tier',
    async run(world) {
      const chain = chainOf('prefetch', 6, 30_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 4));
      await store.save(chain.blocks.slice(5));
      const wiped = await wipeAndReopen(world, 'host', store);
      assert.equal(await wiped.prefetch(chain.keys), 4);
      const before = await objectHits(wiped);
      const tiers = await assertLoadsAll(wiped, sliceChain(chain, 0, 4));
      assert.deepEqual(tiers, ['memory', 'memory', 'memory', 'memory']);
      assert.equal(await objectHits(wiped), before);
      assert.equal(await wiped.prefetch(chain.keys.slice(4)), 0);
      await wiped.close();
    },
  },
];
