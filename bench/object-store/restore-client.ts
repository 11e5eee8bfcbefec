import { setTimeout as sleep } from 'node:timers/promises';
import type { KvStore, ObjectVerb } from '../../src/blocks/kv-store.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { openStore } from '../../src/open-store.ts';
import { chainOf } from '../chain.ts';
import type { BlockToSave } from '../../src/blocks/kv-store.ts';
import type { ChainShape } from '../chain.ts';
import type {
  BucketAccess,
  RestoreJob,
  RestoreResult,
  SaveJob,
  SaveJobResult,
} from './client-job.ts';
import { cpuMsNow } from './cpu-time.ts';

/** Time for the local log to take what was loaded. */
const logMs = 20_000;
const pollMs = 5;

/** A process that uses less of a core in so long has nothing left to prepare. */
const idleMs = 100;
const idleCpuMs = 5;
const idleWaitMs = 10_000;

/** The chain of the last job: rounds repeat it. */
let made: { readonly name: string; readonly chain: readonly BlockToSave[] } | undefined;

/** A store on the bucket, on a cache directory of its own. */
export function openOn(
  access: BucketAccess,
  cacheDirectory: string,
  settings: StoreConfig = {},
): Promise<KvStore> {
  return openStore({
    ...settings,
    objectStore: `s3://${access.bucket}?endpoint=${access.endpoint}`,
    s3AccessKey: access.accessKey,
    s3SecretKey: access.secretKey,
    cacheDirectory,
  });
}

/** Opens a store on an empty cache and restores the chain from the bucket. */
export async function restore(job: RestoreJob): Promise<RestoreResult> {
  const chain = chainFor(job.shape);
  const keys = chain.map(({ key }) => key);
  const openedMs = performance.now();
  const openedCpuMs = cpuMsNow();
  const store = await openOn(job.access, job.cacheDirectory);
  const openMs = performance.now() - openedMs;
  try {
    await restFor(job.rest);
    const openCpuMs = cpuMsNow() - openedCpuMs;
    const lookedMs = performance.now();
    const { matched } = await store.lookup(keys);
    const lookupMs = performance.now() - lookedMs;
    const lookupRequests = await requestsOf(store);
    const loaded = await load(store, chain);
    return { openMs, openCpuMs, lookupMs, matched, lookupRequests, ...loaded };
  } finally {
    await store.close();
  }
}

/** Opens a store on an empty cache and saves the chain, until it is durable. */
export async function save(job: SaveJob): Promise<SaveJobResult> {
  const chain = chainFor(job.shape);
  const store = await openOn(job.access, job.cacheDirectory);
  try {
    await restFor(job.rest);
    const startCpuMs = cpuMsNow();
    const startMs = performance.now();
    const { saved } = await store.save(chain, { durable: true });
    const durableMs = performance.now() - startMs;
    if (saved !== chain.length) throw new Error(`${saved} of ${chain.length} blocks were new`);
    return { durableMs, cpuMs: cpuMsNow() - startCpuMs };
  } finally {
    await store.close();
  }
}

async function load(
  store: KvStore,
  chain: readonly BlockToSave[],
): Promise<Pick<RestoreResult, 'loadMs' | 'loadRequests' | 'cpuMs' | 'cpuWithLogMs'>> {
  const before = await requestsOf(store);
  const startCpuMs = cpuMsNow();
  const startMs = performance.now();
  const borrow = await store.load(chain.map(({ key }) => key));
  const loadMs = performance.now() - startMs;
  const cpuMs = cpuMsNow() - startCpuMs;
  await untilLogged(store, borrow.blocks.length);
  const cpuWithLogMs = cpuMsNow() - startCpuMs;
  requireSame(borrow.blocks, chain, borrow.reason);
  borrow.release();
  const after = await requestsOf(store);
  const loadRequests = mapVerbs(after, (verb, count) => count - before[verb]);
  return { loadMs, loadRequests, cpuMs, cpuWithLogMs };
}

/**
 * Threads are started and memory is touched in the background after opening, which takes long on a
 * busy machine and is no part of what a load costs.
 */
async function restFor(rest: RestoreJob['rest']): Promise<void> {
  if (rest !== 'until idle') return sleep(rest);
  const endMs = performance.now() + idleWaitMs;
  let before = -Infinity;
  for (let now = cpuMsNow(); now - before > idleCpuMs; now = cpuMsNow()) {
    if (performance.now() > endMs)
      throw new Error(`the store is busy for more than ${idleWaitMs} ms`);
    before = now;
    await sleep(idleMs);
  }
}

/** Of the bucket alone, and byte for byte, or the figures are worth nothing. */
function requireSame(
  blocks: readonly { readonly payload: Uint8Array; readonly tier: string }[],
  chain: readonly BlockToSave[],
  reason: string | undefined,
): void {
  if (blocks.length !== chain.length) {
    throw new Error(`${blocks.length} of ${chain.length} blocks were loaded: ${reason}`);
  }
  for (const [index, { payload, tier }] of blocks.entries()) {
    if (tier !== 'object') throw new Error(`block ${index} came from ${tier}`);
    if (Buffer.compare(payload, chain[index].payload) !== 0) {
      throw new Error(`block ${index} has other bytes`);
    }
  }
}

async function untilLogged(store: KvStore, blocks: number): Promise<void> {
  const endMs = performance.now() + logMs;
  while ((await store.stats()).disk.entries < blocks) {
    if (performance.now() > endMs) throw new Error(`${blocks} blocks are not in the local log`);
    await sleep(pollMs);
  }
}

export async function requestsOf(store: KvStore): Promise<Record<ObjectVerb, number>> {
  return { ...(await store.stats()).object.requests };
}

export function mapVerbs(
  counts: Readonly<Record<ObjectVerb, number>>,
  change: (verb: ObjectVerb, count: number) => number,
): Record<ObjectVerb, number> {
  const { put, get, head, list } = counts;
  return {
    put: change('put', put),
    get: change('get', get),
    head: change('head', head),
    list: change('list', list),
    delete: change('delete', counts.delete),
  };
}

function chainFor(shape: ChainShape): readonly BlockToSave[] {
  const name = JSON.stringify(shape);
  if (made?.name !== name) made = { name, chain: chainOf(shape) };
  return made.chain;
}
