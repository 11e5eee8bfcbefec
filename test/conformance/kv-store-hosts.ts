import assert from 'node:assert/strict';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf, sliceChain, withOtherPayloads } from '../support/chains.ts';
import { blockObjects, blocksInBucket } from '../support/stored-objects.ts';
import { eventually } from '../support/waiting.ts';
import type { KvStoreCase, World } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  defaultNamespace,
  kib,
  mib,
  onFreshHost,
  openStore,
  saveDurably,
} from './kv-store-steps.ts';

const namespace = defaultNamespace;

/** Following keys of one header; see contract.md §5. */
const keysPerHeader = 64;

async function readRequests(store: KvStore): Promise<number> {
  const { get, head } = (await store.stats()).object.requests;
  return get + head;
}

/** Takes the objects of blocks away behind the back of every store. */
async function removeBlocks(world: World, keys: readonly BlockKey[]): Promise<void> {
  const objects = await blockObjects(world.bucket, namespace, keys);
  await Promise.all(objects.map((object) => world.bucket.delete(object)));
}

/** What hosts that share nothing but the bucket see of each other. */
export const hostCases: readonly KvStoreCase[] = [
  {
    name: 'a new host finds and loads what another made durable',
    async run(world) {
      const chain = chainOf('new-host', 130, 700);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      const reader = await openStore(world, 'reader');
      await assertLookup(reader, chain.keys, 130);
      const longer = chainOf('new-host-other', 3);
      await assertLookup(reader, [...chain.keys, ...longer.keys], 130);
      await assertLookup(reader, longer.keys, 0);
      await assertLoadsAll(reader, chain);
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'a new host loads without a lookup before it',
    async run(world) {
      const chain = chainOf('load-first', 70, 500);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await onFreshHost(world, 'reader', (reader) => assertLoadsAll(reader, chain));
      const missing = chainOf('load-first-more', 1);
      await onFreshHost(world, 'second', (reader) =>
        assertLoads(
          reader,
          {
            ...chain,
            keys: [...chain.keys, ...missing.keys],
            blocks: [...chain.blocks, ...missing.blocks],
          },
          { count: 70, reason: 'unknown' },
        ),
      );
      await writer.close();
    },
  },
  {
    name: 'a new host may begin in the middle of a chain',
    async run(world) {
      const chain = chainOf('middle', 20);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await onFreshHost(world, 'reader', async (reader) => {
        await assertLookup(reader, chain.keys.slice(7), 13);
        await assertLoadsAll(reader, sliceChain(chain, 7, 15));
        await assertLookup(reader, chain.keys, 20);
      });
      await writer.close();
    },
  },
  {
    name: 'a live host that just missed a chain finds it within about a second',
    async run(world) {
      const chain = chainOf('negative', 5);
      const reader = await openStore(world, 'reader');
      await assertLookup(reader, chain.keys, 0);
      await assertLoads(reader, chain, { count: 0, reason: 'unknown' });
      assert.deepEqual([...(await reader.contains(chain.keys))].includes(true), false);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      const seen = async (): Promise<boolean> => (await reader.lookup(chain.keys)).matched === 5;
      await eventually('the reader finds the chain', seen, 3000);
      await assertLoadsAll(reader, chain);
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'a live host finds what another appended to a chain that it knows',
    async run(world) {
      const chain = chainOf('appended', 12);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, sliceChain(chain, 0, 6));
      const reader = await openStore(world, 'reader');
      await assertLookup(reader, chain.keys, 6);
      await assertLoadsAll(reader, sliceChain(chain, 0, 6));
      await saveDurably(writer, sliceChain(chain, 6), { parent: chain.keys[5] });
      const seen = async (): Promise<boolean> => (await reader.lookup(chain.keys)).matched === 12;
      await eventually('the reader finds the rest', seen, 3000);
      await assertLoadsAll(reader, chain);
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'a new host looks a long chain up in few requests, reading no payload',
    async run(world) {
      const chain = chainOf('few-requests', 200, 8 * kib);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await onFreshHost(world, 'reader', async (reader) => {
        await assertLookup(reader, chain.keys, 200);
        const { requests, readBytes } = (await reader.stats()).object;
        const readsMax = Math.floor(200 / keysPerHeader) + 3;
        const reads = requests.get + requests.head;
        assert.ok(reads <= readsMax, `${reads} requests`);
        assert.ok(requests.list <= 1, `${requests.list} listings`);
        assert.ok(readBytes <= 4 * kib * readsMax, `${readBytes} bytes read`);
        const before = await readRequests(reader);
        await assertLookup(reader, chain.keys, 200);
        assert.equal(await readRequests(reader), before, 'the second lookup asks nobody');
      });
      await writer.close();
    },
  },
  {
    name: 'contains() reads no payload',
    async run(world) {
      const chain = chainOf('contains-bytes', 4, mib);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await onFreshHost(world, 'reader', async (reader) => {
        assert.deepEqual([...(await reader.contains(chain.keys))], [true, true, true, true]);
        const { readBytes } = (await reader.stats()).object;
        assert.ok(readBytes < mib, `${readBytes} bytes read`);
      });
      await writer.close();
    },
  },
  {
    name: 'a conversation saved turn by turn is found whole on a new host',
    async run(world) {
      const chain = chainOf('turns', 60, 300);
      const writer = await openStore(world, 'writer');
      for (let at = 0; at < 60; at += 2) {
        const turn = sliceChain(chain, at, at + 2);
        await writer.save(turn.blocks, at === 0 ? {} : { parent: turn.seed });
      }
      await writer.flush();
      await onFreshHost(world, 'reader', async (reader) => {
        await assertLookup(reader, chain.keys, 60);
        await assertLoadsAll(reader, chain);
      });
      await writer.close();
    },
  },
  {
    name: 'a chain of which two hosts saved a half each is found whole',
    async run(world) {
      const chain = chainOf('halves', 24, 400);
      const first = await openStore(world, 'first');
      await saveDurably(first, sliceChain(chain, 0, 13));
      const second = await openStore(world, 'second');
      await saveDurably(second, sliceChain(chain, 13), { parent: chain.keys[12] });
      await onFreshHost(world, 'reader', async (reader) => {
        await assertLookup(reader, chain.keys, 24);
        await assertLoadsAll(reader, chain);
      });
      await first.close();
      await second.close();
    },
  },
  {
    name: 'overlapping saves of one chain by two hosts at once agree',
    async run(world) {
      const chain = chainOf('overlap', 90, 300);
      const first = await openStore(world, 'first');
      const second = await openStore(world, 'second');
      await Promise.all([saveDurably(first, sliceChain(chain, 0, 70)), saveDurably(second, chain)]);
      await onFreshHost(world, 'reader', async (reader) => {
        await assertLookup(reader, chain.keys, 90);
        await assertLoadsAll(reader, chain);
      });
      await first.close();
      await second.close();
    },
  },
  {
    name: 'when two hosts save other bytes under one key the first in the bucket stay',
    async run(world) {
      const chain = chainOf('conflict', 3);
      const late = withOtherPayloads(chain, 'late');
      const first = await openStore(world, 'first');
      await saveDurably(first, chain);
      const second = await openStore(world, 'second');
      await saveDurably(second, late);
      const borrow = await second.load(chain.keys);
      assert.equal(borrow.blocks.length, 3);
      borrow.blocks.forEach(({ payload }, index) => {
        const isEither = [chain, late].some(
          ({ blocks }) => Buffer.compare(payload, blocks[index].payload) === 0,
        );
        assert.ok(isEither, `block ${index} holds what one of both saved`);
      });
      borrow.release();
      await onFreshHost(world, 'reader', (reader) => assertLoadsAll(reader, chain));
      await assertLoadsAll(first, chain);
      await first.close();
      await second.close();
    },
  },
  {
    name: 'a host that saves what the bucket holds already sends no payload',
    async run(world) {
      const chain = chainOf('no-transfer', 4, 200_000);
      const first = await openStore(world, 'first');
      await saveDurably(first, chain);
      const second = await openStore(world, 'second');
      await assertLookup(second, chain.keys, 4);
      const result = await second.save(chain.blocks, { durable: true });
      assert.deepEqual([result.saved, result.known, result.savedBytes], [0, 4, 0]);
      const { writtenBytes } = (await second.stats()).object;
      assert.equal(writtenBytes, 0);
      await first.close();
      await second.close();
    },
  },
  {
    name: 'an object that is gone ends the load, and the next lookup is truthful',
    async run(world) {
      const chain = chainOf('gone', 8);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      const reader = await openStore(world, 'reader');
      await assertLookup(reader, chain.keys, 8);
      await removeBlocks(world, [chain.keys[3]]);
      await assertLoads(reader, chain, { count: 3, reason: 'unknown' });
      await assertLookup(reader, chain.keys, 3);
      await assertLoadsAll(reader, sliceChain(chain, 4));
      const result = await reader.save(chain.blocks);
      assert.equal(result.saved, 1);
      await assertLookup(reader, chain.keys, 8);
      await assertLoadsAll(reader, chain);
      await reader.flush();
      await onFreshHost(world, 'third', (third) => assertLoadsAll(third, chain));
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'a chain whose end is gone is matched up to its last block that is there',
    async run(world) {
      const chain = chainOf('end-gone', 100, 40);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      let end = 100;
      for (const kept of [99, 65, 64, 63, 37, 2, 1]) {
        await removeBlocks(world, chain.keys.slice(kept, end));
        end = kept;
        await onFreshHost(world, `reader-${kept}`, async (reader) => {
          await assertLookup(reader, chain.keys, kept);
          await assertLoads(reader, chain, { count: kept, reason: 'unknown' });
        });
      }
    },
  },
  {
    name: 'a durable save stores again what only a list of following keys claims',
    async run(world) {
      const chain = chainOf('claimed', 6);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      const reader = await openStore(world, 'reader');
      await assertLookup(reader, chain.keys, 6);
      await removeBlocks(world, [chain.keys[2], chain.keys[4]]);
      await saveDurably(reader, chain);
      const isThere = await blocksInBucket(world.bucket, namespace, chain.keys);
      assert.ok(isThere.every(Boolean), `objects of blocks: ${isThere.join()}`);
      await onFreshHost(world, 'third', (third) => assertLoadsAll(third, chain));
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'another host never sees half a save from its head',
    async run(world) {
      const chain = chainOf('half-elsewhere', 130, 2000);
      const writer = await openStore(world, 'writer');
      let isSaved = false;
      const saving = saveDurably(writer, chain).then(() => {
        isSaved = true;
      });
      const seen: number[] = [];
      for (let look = 0; seen.at(-1) !== 130; look += 1) {
        const isLast = isSaved;
        const matched = await onFreshHost(world, `reader-${look}`, async (reader) => {
          const lookup = await reader.lookup(chain.keys);
          await assertLoadsAll(reader, sliceChain(chain, 0, lookup.matched));
          return lookup.matched;
        });
        seen.push(matched);
        assert.ok(matched === 0 || matched === 130, `matched ${seen.join()}`);
        assert.ok(!isLast || matched === 130, 'seen when the save has resolved');
      }
      await saving;
      await writer.close();
    },
  },
];
