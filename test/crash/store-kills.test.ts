import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { Accepted } from './accepted.ts';
import type { Phase } from './accepted.ts';
import { killAt } from './killed-child.ts';

const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('kills');
after(() => root.remove());

/** How a kind of kill is made, and how often. */
interface Plan {
  readonly phase: Phase;
  readonly kills: number;
  readonly diskBytes: number;
  /** Kills come within so many milliseconds after the phase has begun. */
  readonly withinMs: number;
}

const plans: readonly Plan[] = [
  { phase: 'save', kills: 6, diskBytes: 64 * mib, withinMs: 6 },
  { phase: 'upload', kills: 6, diskBytes: 64 * mib, withinMs: 25 },
  { phase: 'evict', kills: 6, diskBytes: 2 * mib, withinMs: 10 },
  { phase: 'close', kills: 6, diskBytes: 64 * mib, withinMs: 30 },
];

function configOf(name: string, diskBytes: number): StoreConfig {
  return {
    objectStore: `file://${root.path}/${name}/objects`,
    objectStoreBytesMax: false,
    cacheDirectory: `${root.path}/${name}/cache`,
    memoryBytes: 8 * mib,
    diskBytes,
    compression: 'off',
  };
}

async function withStore(
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
async function checkFreshHost(config: StoreConfig, accepted: Accepted): Promise<void> {
  const cacheDirectory = `${config.cacheDirectory}-fresh`;
  await withStore({ ...config, cacheDirectory }, (store) => accepted.check(store));
}

/** One line about the kills, for whoever reads the test's output. */
function report(context: TestContext, plan: Plan, inPhase: number, accepted: Accepted): void {
  context.diagnostic(
    `${plan.kills} kills of which ${inPhase} during ${plan.phase}; ` +
      `${accepted.count} payloads accepted, ${accepted.evictions} evictions`,
  );
}

// Goal: what a store has accepted survives SIGKILL of its process at any instant, and gets to the
// bucket by the processes that come after it. Method: a child saves, uploads, evicts or closes and
// tells what was accepted; it is killed at a random instant of that; then this process opens the
// same cache directory and reads all that was ever accepted there. Kill follows kill on one
// directory; at the end a host with another cache directory reads everything from the bucket.
describe('SIGKILL of a store process', { concurrency: 2 }, () => {
  for (const plan of plans) {
    it(`loses nothing that was accepted: ${plan.kills} kills during ${plan.phase}`, async (t) => {
      const config = configOf(plan.phase, plan.diskBytes);
      const accepted = new Accepted();
      const random = seededRandom(`kills/${plan.phase}`);
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
      report(t, plan, inPhase, accepted);
      assert.ok(inPhase >= 2, `${inPhase} of ${plan.kills} kills came during ${plan.phase}`);
      assert.ok(accepted.count > 20, `${accepted.count} payloads were accepted`);
      assert.ok(pending > 0, 'a process found something pending');
      if (plan.phase === 'evict') assert.ok(accepted.evictions > 0);
    });
  }

  it('loses nothing when several processes of one cache directory are killed', async () => {
    const config = configOf('several', 64 * mib);
    const all: Accepted[] = [];
    for (let round = 0; round < 1; round += 1) {
      const kills = [0, 1].map(async (child) => {
        // Raw tails of two processes at once have no order, so each child has its own record.
        const accepted = new Accepted();
        all.push(accepted);
        const job = { config, seed: `several/${round}/${child}`, phase: 'save' as const };
        await killAt(job, { phases: 10 + 10 * child, ms: child }, accepted);
        accepted.rawTails.clear();
      });
      await Promise.all(kills);
      await withStore(config, async (store) => {
        // One of them left its place to this process; what the other left is adopted soon.
        for (const accepted of all) {
          await eventually('all is there', async () => {
            const keys = [...accepted.blocks.keys()];
            return (await store.contains(keys)).every((isThere) => isThere);
          });
          await accepted.check(store);
        }
      });
    }
    for (const accepted of all) await checkFreshHost(config, accepted);
  });
});
