import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { Accepted } from './accepted.ts';
import { configOf, withStore } from './crash-store.ts';
import { checkFreshHost, describeKills, killPlans, runKills } from './kill-series.ts';
import { killAt } from './killed-child.ts';

const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('kills');
after(() => root.remove());

const kills = 5;

// Goal: what a store has accepted survives SIGKILL of its process at any instant, and gets to the
// bucket by the processes that come after it. Method: a child saves, uploads, evicts and closes; it
// reports what it is doing and what was accepted, and is killed at a random instant of one of these;
// then this process opens the same cache directory and reads all that was ever accepted there.
describe('SIGKILL of a store process', { concurrency: 3 }, () => {
  for (const plan of killPlans) {
    it(`loses nothing that was accepted: ${kills} kills aimed at ${plan.phase}`, async (t) => {
      const counts = await runKills(plan, kills, `${root.path}/${plan.phase}`);
      t.diagnostic(describeKills(plan, kills, counts));
      assert.ok(counts.accepted > 10, `${counts.accepted} payloads were accepted`);
    });
  }

  it('loses nothing when several processes of one cache directory are killed', async () => {
    const config = configOf(`${root.path}/several`, 64 * mib);
    const all: Accepted[] = [];
    const killed = [0, 1].map(async (child) => {
      // Raw tails of two processes at once have no order, so each child has its own record.
      const accepted = new Accepted();
      all.push(accepted);
      const instant = { phases: 10 + 10 * child, ms: child };
      const job = { config, seed: `several/${child}`, phase: 'write' as const, instant };
      await killAt(job, `${root.path}/report-${child}`, accepted);
      accepted.rawTails.clear();
    });
    await Promise.all(killed);
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
    for (const accepted of all) await checkFreshHost(config, accepted);
  });
});
