import { describe, it, after } from 'node:test';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { Accepted } from './accepted.ts';
import { checkFreshHost, configOf, killPlans, runKills, withStore } from './kill-series.ts';
import { killAt } from './killed-child.ts';

const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('kills');
after(() => root.remove());

// Goal: what a store has accepted survives SIGKILL of its process at any instant, and gets to the
// bucket by the processes that come after it. Method: a child saves, uploads, evicts or closes and
// tells what was accepted; it is killed at a random instant of that; then this process opens the
// same cache directory and reads all that was ever accepted there. Kill follows kill on one
// directory; at the end a host with another cache directory reads everything from the bucket.
describe('SIGKILL of a store process', { concurrency: 2 }, () => {
  for (const plan of killPlans(6)) {
    it(`loses nothing that was accepted: ${plan.kills} kills during ${plan.phase}`, async (t) => {
      await runKills(t, plan, `${root.path}/${plan.phase}`);
    });
  }

  it('loses nothing when several processes of one cache directory are killed', async () => {
    const config = configOf(`${root.path}/several`, 64 * mib);
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
