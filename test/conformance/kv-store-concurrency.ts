import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { seededRandom } from '../support/random.ts';
import type { KvStoreCase, WorldStoreOptions } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertSameBytes,
  kib,
  mib,
  onFreshHost,
  openStore,
  saveDurably,
  wipeAndReopen,
} from './kv-store-steps.ts';

/** Saves the chain while a reader looks it up without pause. Returns every count it saw. */
async function countsDuringSave(store: KvStore, chain: Chain): Promise<Set<number>> {
  const seen = new Set<number>();
  let isSaved = false;
  const saving = store.save(chain.blocks).finally(() => {
    isSaved = true;
  });
  while (!isSaved) {
    seen.add((await store.lookup(chain.keys)).matched);
    await nextTurn();
  }
  await saving;
  seen.add((await store.lookup(chain.keys)).matched);
  return seen;
}

/** The leading blocks of the chain that the store gives must be right; returns their number. */
async function loadLeading(store: KvStore, chain: Chain): Promise<number> {
  const borrow = await store.load(chain.keys);
  borrow.blocks.forEach(({ payload }, index) =>
    assertSameBytes(payload, chain.blocks[index].payload, `block ${index}`),
  );
  borrow.release();
  return borrow.blocks.length;
}

function halfSaveCase(name: string, options: WorldStoreOptions): KvStoreCase {
  return {
    name,
    async run(world) {
      const store = await openStore(world, 'host', options);
      for (let round = 0; round < 2; round += 1) {
        const chain = chainOf(`half-${round}`, 100, 16 * kib);
        const seen = await countsDuringSave(store, chain);
        assert.deepEqual(
          [...seen].filter((count) => count !== 0 && count !== 100),
          [],
        );
        assert.ok(seen.has(100));
        await assertLoadsAll(store, chain);
      }
      await store.close();
    },
  };
}

/** Many callers at once. */
export const concurrencyCases: readonly KvStoreCase[] = [
  halfSaveCase('nobody on the host sees half a save from its head', {}),
  halfSaveCase('nobody sees half of a save that is larger than the memory tier', {
    memoryBytes: mib,
    diskBytes: 32 * mib,
  }),
  {
    name: 'nobody sees half of a save that adds to what is stored',
    async run(world) {
      const chain = chainOf('half-added', 60, 20_000);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 20));
      const seen = await countsDuringSave(store, chain);
      assert.deepEqual(
        [...seen].filter((count) => count !== 20 && count !== 60),
        [],
      );
      await store.close();
    },
  },
  {
    name: 'concurrent loads of the same blocks fetch each once',
    async run(world) {
      const chain = chainOf('single-flight', 6, 100_000);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      const getsOf = async (host: string, loads: number): Promise<number> => {
        const store = await openStore(world, host);
        await assertLookup(store, chain.keys, 6);
        const before = (await store.stats()).object.requests.get;
        await Promise.all(
          Array.from({ length: loads }, (_, index) =>
            assertLoadsAll(store, sliceChain(chain, index % 3)),
          ),
        );
        const after = (await store.stats()).object;
        assert.ok(after.readBytes < 1.2 * chain.byteLength, `${after.readBytes} bytes read`);
        await store.close();
        return after.requests.get - before;
      };
      const alone = await getsOf('alone', 1);
      assert.equal(await getsOf('together', 12), alone);
    },
  },
  {
    name: 'a prefetch and a load of the same blocks fetch each once',
    async run(world) {
      const chain = chainOf('prefetch-flight', 5, 100_000);
      const writer = await openStore(world, 'writer');
      await saveDurably(writer, chain);
      await writer.close();
      const store = await openStore(world, 'reader');
      const [count] = await Promise.all([
        store.prefetch(chain.keys),
        assertLoadsAll(store, chain),
        store.prefetch(chain.keys),
      ]);
      assert.equal(count, 5);
      const { readBytes } = (await store.stats()).object;
      assert.ok(readBytes < 1.2 * chain.byteLength, `${readBytes} bytes read`);
      await store.close();
    },
  },
  {
    name: 'concurrent saves of one batch agree and store it once',
    async run(world) {
      const chain = chainOf('same-batch', 10, 20_000);
      const store = await openStore(world, 'host');
      const results = await Promise.all(
        Array.from({ length: 8 }, () => store.save(chain.blocks, { durable: false })),
      );
      for (const { saved, known } of results) assert.equal(saved + known, 10);
      const saved = results.reduce((sum, result) => sum + result.saved, 0);
      assert.ok(saved >= 10, `${saved} saved`);
      await assertLoadsAll(store, chain);
      await store.flush();
      const { object, pending } = await store.stats();
      assert.equal(pending, 0);
      assert.ok(object.writtenBytes < 2 * chain.byteLength, `${object.writtenBytes} bytes written`);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
  {
    name: 'overlapping batches saved at once are all there',
    async run(world) {
      const chain = chainOf('overlapping', 30, 10_000);
      const store = await openStore(world, 'host');
      const parts = [
        [0, 20],
        [10, 30],
        [5, 25],
        [0, 30],
        [29, 30],
      ];
      await Promise.all(
        parts.map(async ([start, end]) => {
          const part = sliceChain(chain, start, end);
          await store.save(part.blocks, start === 0 ? {} : { parent: part.seed });
          await assertLoadsAll(store, part);
        }),
      );
      await assertLoadsAll(store, chain);
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertLookup(wiped, chain.keys, 30);
      await assertLoadsAll(wiped, chain);
      await wiped.close();
    },
  },
  {
    name: 'a save racing a delete leaves all or nothing, here and in the bucket',
    async run(world) {
      const store = await openStore(world, 'host');
      for (let round = 0; round < 12; round += 1) {
        const chain = chainOf(`race-${round}`, 6, 5000);
        const keys = chain.keys;
        if (round % 4 === 3) await store.save(chain.blocks);
        const saving = store.save(chain.blocks, { durable: round % 2 === 1 });
        for (let turn = 0; turn < round; turn += 1) await nextTurn();
        await Promise.all([saving, store.delete({ kind: 'blocks', keys })]);
        const { matched } = await store.lookup(keys);
        assert.ok(matched === 0 || matched === 6, `round ${round}: ${matched} matched`);
        const reason = matched === 6 ? undefined : 'unknown';
        await assertLoads(store, chain, { count: matched, reason });
        await store.flush();
        await onFreshHost(world, `other-${round}`, async (other) => {
          await assertLookup(other, keys, matched);
          await assertLoads(other, chain, { count: matched, reason });
        });
        await store.save(chain.blocks);
        await assertLoadsAll(store, chain);
      }
      await store.close();
    },
  },
  {
    name: 'loads racing eviction give right bytes',
    async run(world) {
      const chains = Array.from({ length: 10 }, (_, index) =>
        chainOf(`evict-${index}`, 4, mib / 4),
      );
      const store = await openStore(world, 'host', { memoryBytes: 1.5 * mib, diskBytes: 4 * mib });
      for (const chain of chains) await saveDurably(store, chain);
      const random = seededRandom('loads racing eviction');
      for (let round = 0; round < 4; round += 1) {
        const picks = Array.from({ length: 4 }, () => chains[random.below(chains.length)]);
        const more = chainOf(`evict-more-${round}`, 2, mib / 4);
        const counts = await Promise.all([
          ...picks.map((chain) => loadLeading(store, chain)),
          saveDurably(store, more).then(() => loadLeading(store, more)),
        ]);
        assert.deepEqual(counts, [4, 4, 4, 4, 2]);
      }
      await store.close();
    },
  },
  {
    name: 'many callers that save, look up, load and flush at once see right bytes',
    async run(world) {
      const chains = Array.from({ length: 6 }, (_, index) => chainOf(`mixed-${index}`, 12, 3000));
      const store = await openStore(world, 'host', { memoryBytes: 4 * mib, diskBytes: 64 * mib });
      const caller = async (id: number): Promise<void> => {
        const random = seededRandom(`caller ${id}`);
        for (let step = 0; step < 25; step += 1) {
          const chain = chains[random.below(chains.length)];
          const kind = random.below(5);
          if (kind === 0) await store.save(chain.blocks.slice(0, 1 + random.below(12)));
          else if (kind === 1) await store.lookup(chain.keys);
          else if (kind === 2) await store.prefetch(chain.keys);
          else if (kind === 3 && step % 8 === 0) await store.flush();
          else {
            const { matched } = await store.lookup(chain.keys);
            assert.ok((await loadLeading(store, chain)) >= matched, 'nothing is taken back');
          }
        }
      };
      await Promise.all(Array.from({ length: 8 }, (_, id) => caller(id)));
      for (const chain of chains) await store.save(chain.blocks);
      for (const chain of chains) await assertLoadsAll(store, chain);
      await store.close();
    },
  },
  {
    name: 'flushes at once all wait for what was accepted',
    async run(world) {
      const chain = chainOf('flushes', 20, 3000);
      const store = await openStore(world, 'host');
      const flushes: Promise<void>[] = [];
      for (const block of chain.blocks) {
        await store.save([block]);
        flushes.push(store.flush());
      }
      await Promise.all(flushes);
      assert.equal((await store.stats()).pending, 0);
      await onFreshHost(world, 'other', (other) => assertLoadsAll(other, chain));
      await store.close();
    },
  },
];
