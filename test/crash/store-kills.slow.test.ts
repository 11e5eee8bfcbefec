import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { describeKills, killPlans, runKills, sumOf } from './kill-series.ts';
import type { KillCounts } from './kill-series.ts';

const root = await makeTemporaryDirectory('many-kills');
after(() => root.remove());

/** Kills of one series, which all hit one cache directory, and series of each phase. */
const killsOfSeries = 8;
const series = 8;
/** Where most kills miss a short phase, on a machine that is busy, so many series more are made. */
const moreSeriesMax = 8;
/** Of the kills meant for a phase at least so many come while the child is in it. */
const inPhaseMin = 10;

// Goal and method are those of store-kills.test.ts, with 320 kills: about 150 s of two processors.
describe('many SIGKILLs of a store process', { concurrency: 3 }, () => {
  let total = 0;
  for (const plan of killPlans) {
    const kills = killsOfSeries * series;
    total += kills;
    it(`lose nothing that was accepted: ${kills} aimed at ${plan.phase}`, async (t) => {
      const counts: KillCounts[] = [];
      const isMissed = (): boolean => sumOf(counts).inPhase < inPhaseMin;
      for (let one = 0; one < series || (one < series + moreSeriesMax && isMissed()); one += 1) {
        counts.push(await runKills(plan, killsOfSeries, `${root.path}/${plan.phase}-${one}`));
      }
      const sum = sumOf(counts);
      t.diagnostic(describeKills(plan, killsOfSeries * counts.length, sum));
      assert.ok(sum.inPhase >= inPhaseMin, `${sum.inPhase} kills came during ${plan.phase}`);
      assert.ok(sum.pending > 0, 'a process found something pending');
      assert.ok(plan.phase !== 'evict' || sum.evictions >= kills, `${sum.evictions} evictions`);
    });
  }

  it('are at least 300', () => {
    assert.ok(total >= 300, `${total} kills`);
  });
});
