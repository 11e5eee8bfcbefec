import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { seededRandom } from '../support/random.ts';
import { Accepted } from './accepted.ts';
import type { Phase } from './accepted.ts';
import { killAt } from './killed-child.ts';

const mib = 1024 * 1024;

/** How a kind of kill is made, and how often. */
export interface KillPlan {
  readonly phase: Phase;
  readonly kills: number;
  readonly diskBytes: number;
  /** Kills come within so many milliseconds after the phase has begun. */
  readonly withinMs: number;
}

/** The kinds of kills, with so many of each. */
export function killPlans(kills: number): readonly KillPlan[] {
  return [
    { phase: 'save', kills, diskBytes: 64 * mib, withinMs: 6 },
    { phase: 'upload', kills, diskBytes: 64 * mib, withinMs: 25 },
    { phase: 'evict', kills, diskBytes: 2 * mib, withinMs: 10 },
    { phase: 'close', kills, diskBytes: 64 * mib, withinMs: 30 },
  ];
}

/** A store below the directory `place`. */
export function configOf(place: string, diskBytes: number): StoreConfig {
  return {
    objectStore: `file://${place}/objects`,
    objectStoreBytesMax: false,
    cacheDirectory: `${place}/cache`,
    memoryBytes: 8 * mib,
    diskBytes,
    compression: 'off',
  };
}

/** Opens the store, uses it, and closes it. */
export async function withStore(
  config: StoreConfig,
  use: (store: KvStore) => Promise<void>,
): Promise<void> {
  const store = await openStore(config);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

/** Checks that a host that has nothing of its own gets every accepted byte from the bucket. */
export async function checkFreshHost(config: StoreConfig, accepted: Accepted): Promise<void> {
  const cacheDirectory = `${config.cacheDirectory}-fresh`;
  await withStore({ ...config, cacheDirectory }, (store) => accepted.check(store));
}

/** One line about the kills, for whoever reads the test's output. */
function report(context: TestContext, plan: KillPlan, inPhase: number, accepted: Accepted): void {
  context.diagnostic(
    `${plan.kills} kills of which ${inPhase} during ${plan.phase}; ` +
      `${accepted.count} payloads accepted, ${accepted.evictions} evictions`,
  );
}

/**
 * Kill follows kill on one cache directory, each by the plan; after each the next process gives all
 * that was accepted. Resolves to how many kills came in the phase that was meant.
 */
export async function runKills(
  context: TestContext,
  plan: KillPlan,
  place: string,
): Promise<number> {
  const config = configOf(place, plan.diskBytes);
  const accepted = new Accepted();
  const random = seededRandom(`kills/${place.split('/').at(-1)}`);
  let inPhase = 0;
  let pending = 0;
  for (let kill = 0; kill < plan.kills; kill += 1) {
    const job = { config, seed: `${plan.phase}/${kill}`, phase: plan.phase };
    const isSteady = plan.phase === 'save' || plan.phase === 'evict';
    const phases = 1 + random.below(isSteady ? 40 : 2);
    const instant = { phases, ms: random.below(10 * plan.withinMs) / 10 };
    if ((await killAt(job, instant, accepted)) === plan.phase) inPhase += 1;
    await withStore(config, async (store) => {
      pending += (await store.stats()).pending;
      await accepted.check(store);
      if (kill % 3 === 0) await store.flush();
    });
  }
  await withStore(config, (store) => store.flush());
  await checkFreshHost(config, accepted);
  report(context, plan, inPhase, accepted);
  assert.ok(inPhase >= 2, `${inPhase} of ${plan.kills} kills came during ${plan.phase}`);
  assert.ok(accepted.count > 20, `${accepted.count} payloads were accepted`);
  assert.ok(pending > 0, 'a process found something pending');
  if (plan.phase === 'evict') assert.ok(accepted.evictions > 0);
  return inPhase;
}
