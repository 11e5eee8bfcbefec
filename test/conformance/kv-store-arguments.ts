import assert from 'node:assert/strict';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { chainOf } from '../support/chains.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertLoads,
  assertLoadsAll,
  assertLookup,
  assertRejects,
  openStore,
} from './kv-store-steps.ts';

const [block] = chainOf('arguments', 1).blocks;

/** A wrong call and the argument that its error has to name. */
interface WrongCall {
  readonly what: string;
  readonly names: RegExp;
  readonly call: (store: KvStore) => Promise<unknown>;
}

/** What a caller without types could pass. */
function untyped(value: unknown): never {
  return value as never;
}

const wrongBlocks: readonly WrongCall[] = [
  {
    what: 'a negative token count',
    names: /tokens/,
    call: (store) => store.save([{ ...block, tokens: -1 }]),
  },
  {
    what: 'a token count with a fraction',
    names: /tokens/,
    call: (store) => store.save([{ ...block, tokens: 1.5 }]),
  },
  {
    what: 'a position with a fraction',
    names: /position/,
    call: (store) => store.save([{ ...block, position: 0.5 }]),
  },
  {
    what: 'a negative position',
    names: /position/,
    call: (store) => store.save([{ ...block, position: -128 }]),
  },
  {
    what: 'a position that is no number',
    names: /position/,
    call: (store) => store.save([{ ...block, position: Number.NaN }]),
  },
  {
    what: 'a payload that is an array of numbers',
    names: /payload/,
    call: (store) => store.save([{ ...block, payload: untyped([1, 2, 3]) }]),
  },
  {
    what: 'a payload of wider elements',
    names: /payload/,
    call: (store) => store.save([{ ...block, payload: untyped(new Uint16Array(4)) }]),
  },
  {
    what: 'a payload that is text',
    names: /payload/,
    call: (store) => store.save([{ ...block, payload: untyped('bytes') }]),
  },
  {
    what: 'a fingerprint that is not 64 hex characters',
    names: /fingerprint/,
    call: (store) => store.save([block], { fingerprint: 'abc' }),
  },
  {
    what: 'too many blocks',
    names: /blocks|keys/,
    call: (store) => store.save(new Array<BlockToSave>(limits.keysPerCallMax + 1).fill(block)),
  },
];

const tooManyKeys = new Array(limits.keysPerCallMax + 1).fill(block.key);

const wrongKeys: readonly WrongCall[] = [
  { what: 'too many keys', names: /keys/, call: (store) => store.lookup(tooManyKeys) },
  { what: 'too many keys', names: /keys/, call: (store) => store.contains(tooManyKeys) },
  { what: 'too many keys', names: /keys/, call: (store) => store.load(tooManyKeys) },
  { what: 'too many keys', names: /keys/, call: (store) => store.prefetch(tooManyKeys) },
  {
    what: 'too many keys',
    names: /keys/,
    call: (store) => store.delete({ kind: 'blocks', keys: tooManyKeys }),
  },
];

const tip = block.key;

const wrongTails: readonly WrongCall[] = [
  {
    what: 'a tail payload that is no Uint8Array',
    names: /payload/,
    call: (store) => store.saveTail({ tip, tokens: [1], payload: untyped([1]) }),
  },
  {
    what: 'a tail token with a fraction',
    names: /token/,
    call: (store) => store.saveTail({ tip, tokens: [1, 2.5], payload: block.payload }),
  },
  {
    what: 'a tail token beyond 32 bits',
    names: /token/,
    call: (store) => store.saveTail({ tip, tokens: [2 ** 31], payload: block.payload }),
  },
  {
    what: 'a tail position with a fraction',
    names: /position/,
    call: (store) => store.saveTail({ tip, tokens: [1], payload: block.payload, position: 1.25 }),
  },
  {
    what: 'a queried tail token with a fraction',
    names: /token/,
    call: (store) => store.loadTail({ tip, tokens: [0.5] }),
  },
  {
    what: 'a raw tail payload that is no Uint8Array',
    names: /payload/,
    call: (store) => store.saveRawTail(tip, untyped('bytes')),
  },
];

async function assertMisuse(store: KvStore, wrong: WrongCall): Promise<void> {
  // The wrapper lets a call that throws and one that rejects look the same.
  await assert.rejects(
    async () => wrong.call(store),
    (error) => {
      const isMisuse = error instanceof TypeError || error instanceof RangeError;
      assert.ok(isMisuse, `${wrong.what}: a TypeError or RangeError, not ${String(error)}`);
      assert.match(error.message, wrong.names, `${wrong.what}: the message names the argument`);
      return true;
    },
    wrong.what,
  );
}

/** Misuse is a `TypeError` or `RangeError` that names the argument, and stores nothing. */
export const argumentCases: readonly KvStoreCase[] = [
  {
    name: 'wrong blocks are misuse, and nothing of the batch is stored',
    async run(world) {
      const store = await openStore(world, 'host');
      for (const wrong of wrongBlocks) await assertMisuse(store, wrong);
      await assertLookup(store, [block.key], 0);
      assert.equal((await store.stats()).saved, 0);
      await store.close();
    },
  },
  {
    name: 'one wrong block refuses its whole batch',
    async run(world) {
      const chain = chainOf('one-wrong', 3);
      const store = await openStore(world, 'host');
      await assertMisuse(store, {
        what: 'the last block of three is wrong',
        names: /tokens/,
        call: () => store.save([...chain.blocks.slice(0, 2), { ...chain.blocks[2], tokens: -5 }]),
      });
      assert.deepEqual([...(await store.contains(chain.keys))], [false, false, false]);
      await store.close();
    },
  },
  {
    name: 'more keys than a call may have are misuse',
    async run(world) {
      const store = await openStore(world, 'host');
      for (const wrong of wrongKeys) await assertMisuse(store, wrong);
      await store.close();
    },
  },
  {
    name: 'wrong tails are misuse, and nothing is stored',
    async run(world) {
      const store = await openStore(world, 'host');
      for (const wrong of wrongTails) await assertMisuse(store, wrong);
      assert.equal(await store.loadTail({ tip, tokens: [1, 2, 3] }), undefined);
      assert.equal(await store.loadRawTail(tip), undefined);
      await store.close();
    },
  },
  {
    name: 'a deadline that is no number of milliseconds is misuse',
    async run(world) {
      const store = await openStore(world, 'host');
      for (const deadlineMs of [Number.NaN, -1]) {
        const names = /deadlineMs/;
        const what = `deadline ${deadlineMs}`;
        await assertMisuse(store, {
          what,
          names,
          call: () => store.lookup([block.key], { deadlineMs }),
        });
        await assertMisuse(store, {
          what,
          names,
          call: () => store.save([block], { deadlineMs }),
        });
      }
      await store.close();
    },
  },
  {
    name: 'a payload longer than the limit is TOO_LARGE, and nothing of its batch is stored',
    async run(world) {
      const chain = chainOf('too-large', 2);
      // The system gives such an array without touching its memory.
      const payload = new Uint8Array(limits.payloadBytesMax + 1);
      const store = await openStore(world, 'host');
      await assertRejects(
        () => store.save([chain.blocks[0], { ...chain.blocks[1], payload }]),
        'TOO_LARGE',
      );
      await assertLookup(store, chain.keys, 0);
      await assertRejects(() => store.saveRawTail(tip, payload), 'TOO_LARGE');
      await assertRejects(() => store.saveTail({ tip, tokens: [1], payload }), 'TOO_LARGE');
      await store.save(chain.blocks);
      await assertLoadsAll(store, chain);
      await store.close();
    },
  },
  {
    name: 'a store goes on after misuse',
    async run(world) {
      const chain = chainOf('after-misuse', 4);
      const store = await openStore(world, 'host');
      await store.save(chain.blocks.slice(0, 3));
      for (const wrong of [...wrongBlocks.slice(0, 3), ...wrongKeys.slice(0, 2)]) {
        await assertMisuse(store, wrong);
      }
      await assertLoads(store, chain, { count: 3, reason: 'unknown' });
      await store.close();
    },
  },
];
