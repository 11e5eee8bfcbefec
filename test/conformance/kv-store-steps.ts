import assert from 'node:assert/strict';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { StoreErrorCode } from '../../src/base/errors.ts';
import type {
  CallOptions,
  KvStore,
  LoadOptions,
  MissReason,
  SaveOptions,
  Tier,
} from '../../src/blocks/kv-store.ts';
import { defaultNamespaceName, parseNamespace } from '../../src/blocks/namespace.ts';
import { sliceChain } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { eventually } from '../support/waiting.ts';
import type { World, WorldStoreOptions } from './kv-store-harness.ts';

export const kib = 1024;
export const mib = 1024 * kib;

/** The namespace of a store that was not told one. */
export const defaultNamespace = parseNamespace(defaultNamespaceName);

/** Deadlines that a loaded machine does not reach, and budgets that a small case does not fill. */
const roomy: WorldStoreOptions = {
  memoryBytes: 64 * mib,
  diskBytes: 256 * mib,
  backlogBytes: 512 * mib,
  lookupDeadlineMs: 20_000,
  loadDeadlineMs: 20_000,
};

/** Opens a store with room for everything, but for what `options` says. */
export function openStore(
  world: World,
  host: string,
  options?: WorldStoreOptions,
): Promise<KvStore> {
  return world.open(host, { ...roomy, ...options });
}

/** Opens a host that nobody used before, looks, and closes it. */
export async function onFreshHost<Result>(
  world: World,
  host: string,
  look: (store: KvStore) => Promise<Result>,
): Promise<Result> {
  const store = await openStore(world, host);
  const result = await look(store);
  await store.close();
  return result;
}

/** Closes the store of the host, empties its local tiers, and opens it again. */
export async function wipeAndReopen(
  world: World,
  host: string,
  store: KvStore,
  options?: WorldStoreOptions,
): Promise<KvStore> {
  await store.close();
  await world.wipe(host);
  return openStore(world, host, options);
}

/** Time for a save that has to reach the bucket, on a machine that is busy with other tests. */
const durableSaveMs = 60_000;

/** Saves the whole chain and returns when it is durable. */
export async function saveDurably(
  store: KvStore,
  chain: Chain,
  options?: SaveOptions,
): Promise<void> {
  const durable = { deadlineMs: durableSaveMs, ...options, durable: true };
  const result = await store.save(chain.blocks, durable);
  assert.equal(result.saved + result.known, chain.blocks.length);
}

/** The same in batches of a few MiB, which fit what a small store may have pending. */
export async function saveDurablyInParts(store: KvStore, chain: Chain): Promise<void> {
  const blocksPerPart = 4;
  for (let start = 0; start < chain.keys.length; start += blocksPerPart) {
    const part = sliceChain(chain, start, start + blocksPerPart);
    await saveDurably(store, part, start === 0 ? {} : { parent: part.seed });
  }
}

/** Flushes until it succeeds: what hung when the bucket came back fails once more before that. */
export async function flushAtLast(store: KvStore): Promise<void> {
  await eventually('flush() succeeds', async () => {
    const outcome = await answerOrFault(async () => {
      await store.flush();
      return 'flushed';
    });
    return outcome === 'flushed';
  });
}

/** Loads until all of the chain is there, for the same reason; then checks every byte. */
export async function assertLoadsAtLast(store: KvStore, chain: Chain): Promise<void> {
  await eventually('load() gives the whole chain', async () => {
    const borrow = await store.load(chain.keys);
    borrow.release();
    return borrow.blocks.length === chain.keys.length;
  });
  await assertLoadsAll(store, chain);
}

/** Loads the whole chain and checks every byte. Returns the tiers that gave it. */
export function assertLoadsAll(
  store: KvStore,
  chain: Chain,
  options?: LoadOptions,
): Promise<readonly Tier[]> {
  return assertLoads(store, chain, { count: chain.keys.length, reason: undefined }, options);
}

/** What a load must give: so many leading blocks, and why the next one is missing. */
export interface ExpectedLoad {
  readonly count: number;
  readonly reason: MissReason | undefined;
}

/** Loads the chain and checks count, reason, keys and every byte. Returns the tiers. */
export async function assertLoads(
  store: KvStore,
  chain: Chain,
  expected: ExpectedLoad,
  options?: LoadOptions,
): Promise<readonly Tier[]> {
  const borrow = await store.load(chain.keys, options);
  try {
    assert.equal(borrow.blocks.length, expected.count, `blocks loaded; reason ${borrow.reason}`);
    assert.equal(borrow.reason, expected.reason);
    borrow.blocks.forEach((block, index) => {
      assert.equal(block.key, chain.keys[index]);
      assertSameBytes(block.payload, chain.blocks[index].payload, `block ${index}`);
    });
    return borrow.blocks.map((block) => block.tier);
  } finally {
    borrow.release();
  }
}

/** Looks the keys up and checks the count; a reason is there exactly when one is missing. */
export async function assertLookup(
  store: KvStore,
  keys: readonly BlockKey[],
  matched: number,
  options?: CallOptions,
): Promise<void> {
  const lookup = await store.lookup(keys, options);
  assert.equal(lookup.matched, matched, `blocks matched; reason ${lookup.reason}`);
  assert.equal(lookup.reason === undefined, matched === keys.length, `reason ${lookup.reason}`);
}

/** The tail of the query must be there, cover so many tokens, and hold these bytes. */
export async function assertTail(
  store: KvStore,
  query: { readonly tip: BlockKey; readonly tokens: ArrayLike<number> },
  expected: { readonly tokens: number; readonly payload: Uint8Array },
  options?: LoadOptions,
): Promise<Tier> {
  const tail = await store.loadTail(query, options);
  assert.ok(tail !== undefined, 'a tail is there');
  try {
    assert.equal(tail.tokens, expected.tokens, 'tokens that the tail covers');
    assertSameBytes(tail.payload, expected.payload, 'tail');
    return tail.tier;
  } finally {
    tail.release();
  }
}

/** The raw tail under the tip must be there and hold these bytes. */
export async function assertRawTail(
  store: KvStore,
  tip: BlockKey,
  payload: Uint8Array,
  options?: CallOptions,
): Promise<void> {
  const tail = await store.loadRawTail(tip, options);
  assert.ok(tail !== undefined, 'a raw tail is there');
  try {
    assertSameBytes(tail.payload, payload, 'raw tail');
  } finally {
    tail.release();
  }
}

/** A copy of the raw tail's bytes, or undefined when there is none. */
export async function readRawTail(store: KvStore, tip: BlockKey): Promise<Uint8Array | undefined> {
  const tail = await store.loadRawTail(tip);
  if (tail === undefined) return undefined;
  const copy = Uint8Array.from(tail.payload);
  tail.release();
  return copy;
}

/** Fails with the first difference instead of a dump of both arrays. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  assert.equal(actual.length, expected.length, `${what}: bytes`);
  if (Buffer.compare(actual, expected) === 0) return;
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  assert.fail(`${what}: byte ${at} is ${actual[at]}, not ${expected[at]}`);
}

/** The work must reject with a `StoreError` of one of these codes. */
export async function assertRejects(
  work: () => Promise<unknown>,
  codes: StoreErrorCode | readonly StoreErrorCode[],
  what = 'the call',
): Promise<void> {
  const allowed: readonly string[] = typeof codes === 'string' ? [codes] : codes;
  const check = (error: unknown): boolean => {
    assert.ok(isStoreError(error), `${what} rejects with a StoreError, not ${String(error)}`);
    assert.ok(allowed.includes(error.code), `${what}: code ${error.code}: ${error.message}`);
    return true;
  };
  await assert.rejects(work, check, `${what} rejects with ${allowed.join(' or ')}`);
}

/**
 * For calls that may answer a miss or reject when the bucket does not answer: resolves to the
 * answer, or undefined when it was an `UNAVAILABLE` or `ABORTED`.
 */
export async function answerOrFault<Result>(
  work: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isStoreError(error, 'UNAVAILABLE') || isStoreError(error, 'ABORTED')) return undefined;
    throw error;
  }
}

/** Payloads that came from the bucket so far. */
export async function objectHits(store: KvStore): Promise<number> {
  return (await store.stats()).object.hits;
}
