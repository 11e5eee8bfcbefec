import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { describeKills, runKills } from './kill-series.ts';
import type { KillPlan } from './kill-series.ts';

const mib = 1024 * 1024;
const kills = 6;
const root = await makeTemporaryDirectory('memory-kills');
after(() => root.remove());

/** Most saves are over within the times; what a kill leaves then is in memory alone, for the log rests. */
const plans: readonly KillPlan[] = [
  { phase: 'save', diskBytes: 64 * mib, phasesMax: 60, withinMs: 0.6, sharesMemory: true },
  { phase: 'upload', diskBytes: 64 * mib, phasesMax: 60, withinMs: 2, sharesMemory: true },
  { phase: 'close', diskBytes: 64 * mib, phasesMax: 2, withinMs: 20, sharesMemory: true },
];

// Goal: what was accepted in shared memory, and is in no file of the cache directory, survives SIGKILL of its
// process at any instant, and gets to the bucket by the processes that come after it, those without native
// code included. Method: that of store-kills.test.ts, with stores that share their memory.
describe(
  'SIGKILL of a store that accepts in memory',
  { concurrency: 3, skip: withoutNative() },
  () => {
    for (const plan of plans) {
      it(`loses nothing that was accepted: ${kills} kills aimed at ${plan.phase}`, async (t) => {
        const place = `${root.path}/${plan.phase}`;
        const counts = await runKills(plan, kills, place);
        t.diagnostic(describeKills(plan, kills, counts));
        assert.ok(counts.accepted > 10, `${counts.accepted} payloads were accepted`);
        assert.ok(counts.pending > 0, 'a process found something pending');
        const links = (await readdir(`${place}/cache/v1/0`)).filter((name) =>
          name.startsWith('memory-'),
        );
        assert.deepEqual(links, [], 'nothing is left in memory');
      });
    }
  },
);
