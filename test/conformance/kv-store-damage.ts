import assert from 'node:assert/strict';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { ObjectKey, ObjectStore } from '../../src/objectstore/object-store.ts';
import { chainOf, sliceChain, tokensOf, withOtherPayloads } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { randomPayload, smoothPayload } from '../support/payloads.ts';
import {
  blockObject,
  flipBitAt,
  rawTailObject,
  readObject,
  rewriteObject,
  tailObjects,
} from '../support/stored-objects.ts';
import type { KvStoreCase, World } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertTail,
  defaultNamespace,
  onFreshHost,
  openStore,
  saveDurably,
  wipeAndReopen,
} from './kv-store-steps.ts';

const namespace = defaultNamespace;

/** Ways to spoil an object that a check has to notice. */
const damages: readonly (readonly [what: string, change: (bytes: Uint8Array) => Uint8Array])[] = [
  ['the last bit of the payload', flipBitAt(-1)],
  ['a bit inside the payload', flipBitAt(-1500)],
  ['a bit of the header', flipBitAt(100)],
  ['the end cut off', (bytes) => bytes.subarray(0, bytes.length - 1)],
  ['half of it cut off', (bytes) => bytes.subarray(0, bytes.length >> 1)],
  ['nearly all cut off', (bytes) => bytes.subarray(0, 10)],
  ['emptied', () => new Uint8Array(0)],
  ['overwritten', (bytes) => randomPayload('overwritten', bytes.length)],
  ['zeroed', (bytes) => new Uint8Array(bytes.length)],
];

/** Some of them, for cases that need several hosts for each. */
const fewDamages = [damages[0], damages[2], damages[3], damages[6]] as const;

/** Saves a chain of five durably and opens a host that has none of it. */
async function savedElsewhere(world: World, chain: Chain): Promise<KvStore> {
  const writer = await openStore(world, 'writer');
  await saveDurably(writer, chain);
  await writer.close();
  return openStore(world, 'reader');
}

async function damageBlock(
  world: World,
  chain: Chain,
  index: number,
  change: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  const key = await blockObject(world.bucket, { namespace, key: chain.keys[index] });
  await rewriteObject(world.bucket, key, change);
}

async function copyObject(bucket: ObjectStore, from: ObjectKey, to: ObjectKey): Promise<void> {
  await bucket.put(to, [await readObject(bucket, from)]);
}

/** Bytes that changed behind the store's back are never returned. */
export const damageCases: readonly KvStoreCase[] = [
  ...damages.map(([what, change], round): KvStoreCase => ({
    name: `a damaged object is a miss with reason corrupt, and is counted: ${what}`,
    async run(world) {
      const chain = chainOf(`damage-${round}`, 5, 3000);
      const reader = await savedElsewhere(world, chain);
      await damageBlock(world, chain, 2, change);
      await assertLoads(reader, chain, { count: 2, reason: 'corrupt' });
      const stats = await reader.stats();
      assert.equal(stats.corrupt, 1);
      assert.ok(stats.misses.corrupt >= 1);
      await assertLoads(reader, chain, { count: 2, reason: 'corrupt' });
      await assertLoadsAll(reader, sliceChain(chain, 3));
      const lookup = await reader.lookup(chain.keys);
      assert.equal(lookup.matched, 2, 'the next lookup is truthful');
      await reader.close();
    },
  })),
  {
    name: 'a damaged first object ends the load before anything',
    async run(world) {
      for (const [round, [what, change]] of fewDamages.entries()) {
        const chain = chainOf(`damage-first-${round}`, 3, 3000);
        const writer = await openStore(world, 'writer');
        await saveDurably(writer, chain);
        await writer.close();
        await damageBlock(world, chain, 0, change);
        await onFreshHost(world, `reader-${round}`, async (reader) => {
          const lookup = await reader.lookup(chain.keys);
          assert.ok(lookup.matched === 0 || lookup.matched === 3, what);
          await assertLoads(reader, chain, { count: 0, reason: 'corrupt' });
          assert.equal((await reader.lookup(chain.keys)).matched, 0, what);
        });
      }
    },
  },
  {
    name: 'damage to a compressed object is noticed',
    async run(world) {
      const plain = chainOf('damage-packed', 3, 3000);
      const blocks = plain.blocks.map((block, index) => ({
        ...block,
        payload: smoothPayload(`packed-${index}`, 60_000),
      }));
      const chain = { ...plain, blocks };
      const reader = await savedElsewhere(world, chain);
      await damageBlock(world, chain, 1, flipBitAt(-5000));
      await assertLoads(reader, chain, { count: 1, reason: 'corrupt' });
      await reader.close();
    },
  },
  {
    name: 'bytes appended to an object never change what it gives',
    async run(world) {
      const chain = chainOf('appended-bytes', 3, 3000);
      const reader = await savedElsewhere(world, chain);
      await damageBlock(world, chain, 1, (bytes) => Uint8Array.from([...bytes, 1, 2, 3]));
      const borrow = await reader.load(chain.keys);
      const { length } = borrow.blocks;
      borrow.release();
      assert.ok(length === 1 || length === 3, `${length} blocks`);
      await assertLoads(reader, chain, {
        count: length,
        reason: length === 3 ? undefined : 'corrupt',
      });
      await reader.close();
    },
  },
  {
    name: 'the next save replaces a corrupt object',
    async run(world) {
      for (const [round, [what, change]] of fewDamages.entries()) {
        const chain = chainOf(`replaced-${round}`, 4, 3000);
        const writer = await openStore(world, 'writer');
        await saveDurably(writer, chain);
        await writer.close();
        await damageBlock(world, chain, 1, change);
        const reader = await openStore(world, `reader-${round}`);
        await assertLoads(reader, chain, { count: 1, reason: 'corrupt' });
        const result = await reader.save(chain.blocks, { durable: true });
        assert.equal(result.saved, 1, what);
        await assertLoadsAll(reader, chain);
        await onFreshHost(world, `third-${round}`, (third) => assertLoadsAll(third, chain));
        await reader.close();
      }
    },
  },
  {
    name: 'a corrupt object is not deleted',
    async run(world) {
      const chain = chainOf('not-deleted', 2, 3000);
      const reader = await savedElsewhere(world, chain);
      await damageBlock(world, chain, 0, flipBitAt(-1));
      await assertLoads(reader, chain, { count: 0, reason: 'corrupt' });
      await reader.close();
      await blockObject(world.bucket, { namespace, key: chain.keys[0] });
    },
  },
  {
    name: 'a host that has the block in its own tiers does not mind a damaged object',
    async run(world) {
      const chain = chainOf('local-whole', 3, 3000);
      const store = await openStore(world, 'host');
      await saveDurably(store, chain);
      await damageBlock(world, chain, 1, flipBitAt(-1));
      await assertLoadsAll(store, chain);
      await store.close();
      const next = await openStore(world, 'host');
      await assertLoadsAll(next, chain);
      assert.equal((await next.stats()).corrupt, 0);
      await next.close();
    },
  },
  {
    name: 'the object of one key under another key is corrupt',
    async run(world) {
      const chain = chainOf('swapped', 4, 3000);
      const reader = await savedElsewhere(world, chain);
      const from = await blockObject(world.bucket, { namespace, key: chain.keys[1] });
      const to = await blockObject(world.bucket, { namespace, key: chain.keys[2] });
      await copyObject(world.bucket, from, to);
      await assertLoads(reader, chain, { count: 2, reason: 'corrupt' });
      assert.equal((await reader.stats()).corrupt, 1);
      await reader.close();
    },
  },
  {
    name: 'the object of one namespace in another is corrupt',
    async run(world) {
      const chain = chainOf('swapped-namespace', 2, 3000);
      const mine = parseNamespace('mine');
      const yours = parseNamespace('yours');
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain, { namespace: mine });
      await saveDurably(writer, withOtherPayloads(chain, 'yours'), { namespace: yours });
      await writer.close();
      for (const key of chain.keys) {
        const from = await blockObject(world.bucket, { namespace: mine, key });
        await copyObject(
          world.bucket,
          from,
          await blockObject(world.bucket, { namespace: yours, key }),
        );
      }
      await onFreshHost(world, 'reader', async (reader) => {
        const expected = { count: 0, reason: 'corrupt' } as const;
        await assertLoads(reader, chain, expected, { namespace: yours });
        await assertLoadsAll(reader, chain, { namespace: mine });
      });
    },
  },
  {
    name: 'a damaged tail is never applied, a shorter whole one may be',
    async run(world) {
      const { seed: tip } = chainOf('damage-tail', 1);
      const tokens = tokensOf('damage-tail', 12);
      const short = { tip, tokens: tokens.slice(0, 4), payload: randomPayload('short', 2000) };
      for (const [round, [what, change]] of fewDamages.entries()) {
        const long = { tip, tokens, payload: randomPayload('long', 2000) };
        const own = parseNamespace(`tails-${round}`);
        const writer = await openStore(world, 'writer', { namespace: own });
        await writer.saveTail(long, { durable: true });
        const [object] = await tailObjects(world.bucket, { namespace: own, key: tip });
        await writer.saveTail(short, { durable: true });
        await writer.close();
        await rewriteObject(world.bucket, object, change);
        const reader = await openStore(world, `reader-${round}`, { namespace: own });
        const found = await reader.loadTail(long);
        if (found !== undefined) {
          assert.equal(found.tokens, 4, what);
          assert.equal(Buffer.compare(found.payload, short.payload), 0, what);
          found.release();
        }
        assert.ok((await reader.stats()).corrupt >= 1, `${what} is counted`);
        await assertTail(reader, short, { tokens: 4, payload: short.payload });
        await reader.close();
      }
    },
  },
  {
    name: 'a tail object under the name of another tail is never applied',
    async run(world) {
      const [first, second] = chainOf('swapped-tails', 2).keys;
      const save = (tip: typeof first, token: number) => ({
        tip,
        tokens: [1, token, 3],
        payload: randomPayload(`${tip}/${token}`, 900),
      });
      const tails = [save(first, 5), save(first, 6), save(second, 5)];
      const writer = await openStore(world, 'writer');
      const objects: ObjectKey[] = [];
      for (const tail of tails) {
        await writer.saveTail(tail, { durable: true });
        const under = await tailObjects(world.bucket, { namespace, key: tail.tip });
        const isNew = (key: ObjectKey): boolean => !objects.includes(key);
        objects.push(...under.filter(isNew));
      }
      assert.equal(objects.length, 3);
      const wiped = await wipeAndReopen(world, 'writer', writer);
      await copyObject(world.bucket, objects[0], objects[1]);
      await copyObject(world.bucket, objects[0], objects[2]);
      assert.equal(await wiped.loadTail(tails[1]), undefined, 'same tip, other tokens');
      assert.equal(await wiped.loadTail(tails[2]), undefined, 'other tip, same tokens');
      await assertTail(wiped, tails[0], { tokens: 3, payload: tails[0].payload });
      await wiped.close();
    },
  },
  {
    name: 'a damaged raw tail is a miss, and the next save replaces it',
    async run(world) {
      const { seed: tip } = chainOf('damage-raw', 1);
      for (const [round, [what, change]] of fewDamages.entries()) {
        const own = parseNamespace(`raws-${round}`);
        const writer = await openStore(world, 'writer', { namespace: own });
        await writer.saveRawTail(tip, randomPayload('raw', 2000), { durable: true });
        await writer.close();
        const object = await rawTailObject(world.bucket, { namespace: own, key: tip });
        assert.ok(object !== undefined);
        await rewriteObject(world.bucket, object, change);
        const reader = await openStore(world, `reader-${round}`, { namespace: own });
        assert.equal(await reader.loadRawTail(tip), undefined, what);
        assert.ok((await reader.stats()).corrupt >= 1, `${what} is counted`);
        const payload = randomPayload(`raw-${round}`, 1000);
        await reader.saveRawTail(tip, payload, { durable: true });
        await reader.close();
        const third = await openStore(world, `third-${round}`, { namespace: own });
        const found = await third.loadRawTail(tip);
        assert.ok(found !== undefined, what);
        assert.equal(Buffer.compare(found.payload, payload), 0, what);
        found.release();
        await third.close();
      }
    },
  },
  {
    name: 'objects of strangers beside ours disturb nothing',
    async run(world) {
      const chain = chainOf('strangers', 3, 500);
      const { seed: tip } = chain;
      const tail = { tip, tokens: [1, 2], payload: randomPayload('tail', 300) };
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.saveTail(tail, { durable: true });
      const block = await blockObject(world.bucket, { namespace, key: chain.keys[0] });
      const [stored] = await tailObjects(world.bucket, { namespace, key: tip });
      const strangers = [
        `${block}0`,
        `${block}.tmp`,
        `${stored}0`,
        stored.slice(0, stored.lastIndexOf('/') + 1) + 'notes.txt',
        stored.slice(0, stored.lastIndexOf('/') + 1) + '2-abc',
      ];
      for (const key of strangers) {
        await world.bucket.put(key as ObjectKey, [randomPayload(key, 50)]);
      }
      const wiped = await wipeAndReopen(world, 'writer', writer);
      await assertLoadsAll(wiped, chain);
      await assertTail(wiped, tail, { tokens: 2, payload: tail.payload });
      await wiped.close();
    },
  },
];
