import { mkdir } from 'node:fs/promises';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { seededRandom } from '../support/random.ts';
import { eventually } from '../support/waiting.ts';
import { Accepted } from './accepted.ts';
import type { Phase } from './accepted.ts';
import { configOf, sharingPlatform, withStore } from './crash-store.ts';
import { killAt } from './killed-child.ts';

const mib = 1024 * 1024;

/** Longer than any upload waits for its next attempt. */
const uploadsMsMax = 120_000;

/** How a kind of kill is made. */
export interface KillPlan {
  readonly phase: Phase;
  readonly diskBytes: number;
  /** A kill comes in one of the first so many times that the phase begins … */
  readonly phasesMax: number;
  /** … and within so many milliseconds of it. */
  readonly withinMs: number;
  /** The child accepts in shared memory; every other process that follows has no native code. */
  readonly sharesMemory?: boolean;
}

/** What became of the kills of a series. */
export interface KillCounts {
  /** Those that hit the child in the phase that was meant. */
  readonly inPhase: number;
  readonly accepted: number;
  readonly evictions: number;
  /** Payloads that the processes after the kills found accepted and not yet in the bucket. */
  readonly pending: number;
}

/** The kinds of kills. The times are about as long as a phase lasts here, so that most kills hit. */
export const killPlans: readonly KillPlan[] = [
  { phase: 'write', diskBytes: 64 * mib, phasesMax: 16, withinMs: 0.15 },
  { phase: 'commit', diskBytes: 64 * mib, phasesMax: 16, withinMs: 0.1 },
  { phase: 'upload', diskBytes: 64 * mib, phasesMax: 40, withinMs: 2 },
  { phase: 'evict', diskBytes: mib, phasesMax: 6, withinMs: 0.15 },
  { phase: 'close', diskBytes: 64 * mib, phasesMax: 2, withinMs: 20 },
];

/**
 * Kill follows kill on one cache directory, each by the plan; after each the next process, this one,
 * gives all that was accepted and finishes the uploads. At the end a host with another cache directory
 * reads everything from the bucket.
 */
export async function runKills(plan: KillPlan, kills: number, place: string): Promise<KillCounts> {
  const config = configOf(place, plan.diskBytes);
  const accepted = new Accepted();
  const random = seededRandom(`kills/${place.split('/').at(-1)}`);
  await mkdir(place);
  const memoryDirectory = plan.sharesMemory ? `${place}/memory` : undefined;
  let inPhase = 0;
  let pending = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const instant = {
      phases: 1 + random.below(plan.phasesMax),
      ms: (plan.withinMs * random.below(1000)) / 1000,
    };
    const { phase } = plan;
    const job = { config, seed: `${phase}/${kill}`, phase, instant, memoryDirectory };
    const phases = await killAt(job, `${place}/report`, accepted);
    if (phases.has(plan.phase)) inPhase += 1;
    const check = async (store: KvStore): Promise<void> => {
      pending += (await store.stats()).pending;
      await accepted.check(store);
      await finishUploads(store);
    };
    const isSharing = memoryDirectory !== undefined && kill % 2 === 0;
    const platform = isSharing ? sharingPlatform(nodePlatform(), memoryDirectory) : nodePlatform();
    await withStore(config, check, platform);
  }
  await checkFreshHost(config, accepted);
  return { inPhase, pending, accepted: accepted.count, evictions: accepted.evictions };
}

/**
 * Waits until everything is in the bucket. An attempt to upload may fail on a machine that is busy,
 * where a lock can be held for too long; then flush says so and the attempt after it succeeds.
 */
async function finishUploads(store: KvStore): Promise<void> {
  await eventually(
    'all uploads are finished',
    async () => {
      try {
        await store.flush();
        return (await store.stats()).pending === 0;
      } catch (error) {
        if (!isStoreError(error, 'UNAVAILABLE')) throw error;
        return false;
      }
    },
    uploadsMsMax,
  );
}

/** Checks that a host that has nothing of its own gets every accepted byte from the bucket. */
export async function checkFreshHost(config: StoreConfig, accepted: Accepted): Promise<void> {
  const cacheDirectory = `${config.cacheDirectory}-fresh`;
  await withStore({ ...config, cacheDirectory }, (store) => accepted.check(store));
}

export function sumOf(counts: readonly KillCounts[]): KillCounts {
  const total = (name: keyof KillCounts): number => counts.reduce((sum, one) => sum + one[name], 0);
  return {
    inPhase: total('inPhase'),
    accepted: total('accepted'),
    evictions: total('evictions'),
    pending: total('pending'),
  };
}

/** The counts for whoever reads the test's output. */
export function describeKills(plan: KillPlan, kills: number, counts: KillCounts): string {
  const { inPhase, accepted, evictions, pending } = counts;
  return (
    `${kills} kills of which ${inPhase} during ${plan.phase}; ${accepted} payloads accepted, ` +
    `${pending} found pending, ${evictions} segments evicted`
  );
}
