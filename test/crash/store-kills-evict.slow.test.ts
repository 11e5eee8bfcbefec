import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { Phase } from './accepted.ts';
import { killPlans, runKills } from './kill-series.ts';

const root = await makeTemporaryDirectory('many-kills-evict');
after(() => root.remove());

/** Kills of one series, which all hit one cache directory, and series of each phase. */
const kills = 20;
const series = 1;
/** Of the kills meant for a phase at least so many come while the child is in it. */
const inPhaseMin = 10;

/** The other phases are in a file of their own: each has a time limit. */
const phases: readonly Phase[] = ['evict', 'close'];

// Goal and method are those of store-kills.test.ts, with 40 kills.
describe('many SIGKILLs of a store process', { concurrency: 2 }, () => {
  for (const plan of killPlans(kills).filter(({ phase }) => phases.includes(phase))) {
    it(`lose nothing that was accepted: ${kills * series} during ${plan.phase}`, async (t) => {
      let inPhase = 0;
      for (let one = 0; one < series; one += 1) {
        inPhase += await runKills(t, plan, `${root.path}/${plan.phase}-${one}`);
      }
      assert.ok(inPhase >= inPhaseMin, `${inPhase} kills came during ${plan.phase}`);
    });
  }
});
