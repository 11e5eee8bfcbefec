import assert from 'node:assert/strict';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { chainOf, sliceChain, withOtherPayloads } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import { payloadObjects } from '../support/stored-objects.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertRawTail,
  assertTail,
  onFreshHost,
  openStore,
  wipeAndReopen,
} from './kv-store-steps.ts';

const red = parseNamespace('red');
const blue = parseNamespace('blue');

/** Names that meet each other, or leave their folder, when written carelessly into a path. */
const awkwardNames = [
  'a',
  'A',
  'a/b',
  'a%2Fb',
  'a b',
  'a+b',
  '.',
  '..',
  '../a',
  'ä',
  'a\u0308',
  '\\',
  'a\nb',
  'wombatkv',
  'x'.repeat(80),
];

/** Tenants do not meet, in any tier or call. */
export const namespaceCases: readonly KvStoreCase[] = [
  {
    name: 'blocks of one namespace are unknown in another',
    async run(world) {
      const chain = chainOf('apart', 4);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks, { namespace: red });
      await assertLookup(store, chain.keys, 4, { namespace: red });
      for (const options of [{}, { namespace: blue }]) {
        await assertLookup(store, chain.keys, 0, options);
        assert.ok(!(await store.contains(chain.keys, options)).includes(true));
        await assertLoads(store, chain, { count: 0, reason: 'unknown' }, options);
        assert.equal(await store.prefetch(chain.keys, options), 0);
      }
      await store.flush();
      await onFreshHost(world, 'other', async (other) => {
        await assertLookup(other, chain.keys, 0);
        await assertLookup(other, chain.keys, 0, { namespace: blue });
        await assertLoadsAll(other, chain, { namespace: red });
      });
      await store.close();
    },
  },
  {
    name: 'one key holds other bytes in every namespace',
    async run(world) {
      const chain = chainOf('same-key', 3);
      const other = withOtherPayloads(chain, 'other');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks, { namespace: red });
      const result = await store.save(other.blocks, { namespace: blue });
      assert.equal(result.saved, 3);
      await assertLoadsAll(store, chain, { namespace: red });
      await assertLoadsAll(store, other, { namespace: blue });
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLoadsAll(wiped, other, { namespace: blue });
      await assertLoadsAll(wiped, chain, { namespace: red });
      await wiped.close();
    },
  },
  {
    name: 'a call without namespace means the one of its store',
    async run(world) {
      const chain = chainOf('own-namespace', 2);
      const { seed } = chain;
      const { payload } = chain.blocks[0];
      const store = await openStore(world, 'host', { namespace: red });
      await store.save(chain.blocks);
      await store.saveTail({ tip: seed, tokens: [1], payload });
      await store.saveRawTail(seed, payload);
      await assertLoadsAll(store, chain, { namespace: red });
      await assertTail(
        store,
        { tip: seed, tokens: [1] },
        { tokens: 1, payload },
        { namespace: red },
      );
      await assertRawTail(store, seed, payload, { namespace: red });
      await store.close();
      const next = await openStore(world, 'host', { namespace: blue });
      await assertLookup(next, chain.keys, 0);
      assert.equal(await next.loadTail({ tip: seed, tokens: [1] }), undefined);
      assert.equal(await next.loadRawTail(seed), undefined);
      await assertLoadsAll(next, chain, { namespace: red });
      await next.close();
    },
  },
  {
    name: 'tails of one namespace never apply in another',
    async run(world) {
      const { seed } = chainOf('tail-namespaces', 1);
      const query = { tip: seed, tokens: [1, 2, 3] };
      const payloads = [randomPayload('red', 300), randomPayload('blue', 301)];
      const store = await openStore(world, 'host');
      await store.saveTail({ ...query, payload: payloads[0] }, { namespace: red });
      assert.equal(await store.loadTail(query), undefined);
      assert.equal(await store.loadTail(query, { namespace: blue }), undefined);
      await store.saveTail({ ...query, payload: payloads[1] }, { namespace: blue });
      const wiped = await wipeAndReopen(world, 'host', store);
      assert.equal(await wiped.loadTail(query), undefined);
      const [first, second] = payloads;
      await assertTail(wiped, query, { tokens: 3, payload: first }, { namespace: red });
      await assertTail(wiped, query, { tokens: 3, payload: second }, { namespace: blue });
      await wiped.close();
    },
  },
  {
    name: 'raw tails of one namespace are not those of another',
    async run(world) {
      const { seed } = chainOf('raw-namespaces', 1);
      const [first, second] = [randomPayload('red', 300), randomPayload('blue', 301)];
      const store = await openStore(world, 'host');
      await store.saveRawTail(seed, first, { namespace: red });
      assert.equal(await store.loadRawTail(seed), undefined);
      assert.equal(await store.loadRawTail(seed, { namespace: blue }), undefined);
      await store.saveRawTail(seed, second, { namespace: blue });
      await assertRawTail(store, seed, first, { namespace: red });
      const wiped = await wipeAndReopen(world, 'host', store);
      assert.equal(await wiped.loadRawTail(seed), undefined);
      await assertRawTail(wiped, seed, first, { namespace: red });
      await assertRawTail(wiped, seed, second, { namespace: blue });
      await wiped.close();
    },
  },
  {
    name: 'deleting in one namespace leaves another as it is',
    async run(world) {
      const chain = chainOf('delete-namespaces', 4);
      const { seed } = chain;
      const { payload } = chain.blocks[0];
      const store = await openStore(world, 'host');
      for (const namespace of [red, blue]) {
        await store.save(chain.blocks, { namespace });
        await store.saveTail({ tip: seed, tokens: [1], payload }, { namespace });
        await store.saveRawTail(seed, payload, { namespace });
      }
      await store.flush();
      const keys = chain.keys.slice(3);
      await store.delete({ kind: 'blocks', keys }, { namespace: red });
      await assertLookup(store, chain.keys, 3, { namespace: red });
      await assertLookup(store, chain.keys, 4, { namespace: blue });
      await store.delete({ kind: 'subtree', root: chain.keys[1] }, { namespace: red });
      await assertLookup(store, chain.keys, 1, { namespace: red });
      await store.delete({ kind: 'namespace' }, { namespace: red });
      await assertLookup(store, chain.keys, 0, { namespace: red });
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLookup(wiped, chain.keys, 0, { namespace: red });
      await assertLoadsAll(wiped, chain, { namespace: blue });
      const blueTail = { tokens: 1, payload };
      await assertTail(wiped, { tip: seed, tokens: [1] }, blueTail, { namespace: blue });
      await assertRawTail(wiped, seed, payload, { namespace: blue });
      await wiped.close();
    },
  },
  {
    name: 'namespaces stay apart whatever characters their names have',
    async run(world) {
      const chain = chainOf('awkward', 2, 200);
      const variants = awkwardNames.map((name) => ({
        namespace: parseNamespace(name),
        chain: withOtherPayloads(chain, name),
        raw: randomPayload(`raw ${name}`, 100),
      }));
      const store = await openStore(world, 'host');
      for (const { namespace, chain: own, raw } of variants) {
        assert.equal((await store.save(own.blocks, { namespace })).saved, 2, `in ${namespace}`);
        await store.saveRawTail(chain.seed, raw, { namespace });
      }
      await store.flush();
      const objects = await payloadObjects(world.bucket);
      assert.equal(objects.length, 3 * variants.length);
      for (const key of objects) assert.match(key, /^[A-Za-z0-9\-._/=%]+$/);
      const wiped = await wipeAndReopen(world, 'host', store);
      for (const { namespace, chain: own, raw } of variants) {
        await assertLoadsAll(wiped, own, { namespace });
        await assertRawTail(wiped, chain.seed, raw, { namespace });
      }
      await wiped.delete({ kind: 'namespace' }, { namespace: parseNamespace('a') });
      for (const { namespace, chain: own } of variants.slice(1)) {
        await assertLoadsAll(wiped, own, { namespace });
      }
      assert.equal((await payloadObjects(world.bucket)).length, 3 * (variants.length - 1));
      await wiped.close();
    },
  },
  {
    name: 'a namespace survives a crash with what it holds',
    async run(world) {
      const chain = chainOf('namespace-crash', 3);
      const other = withOtherPayloads(chain, 'other');
      await world.faults.setMode('refuse-puts');
      const store = await openStore(world, 'host');
      await store.save(chain.blocks, { namespace: red });
      await store.save(other.blocks.slice(0, 2), { namespace: blue });
      await world.crash(store);
      await world.faults.setMode('none');
      const next = await openStore(world, 'host');
      await assertLookup(next, chain.keys, 0);
      await assertLoadsAll(next, chain, { namespace: red });
      await assertLoads(next, other, { count: 2, reason: 'unknown' }, { namespace: blue });
      await next.flush();
      await onFreshHost(world, 'other', async (fresh) => {
        await assertLoadsAll(fresh, chain, { namespace: red });
        await assertLoadsAll(fresh, sliceChain(other, 0, 2), { namespace: blue });
      });
      await next.close();
    },
  },
];
