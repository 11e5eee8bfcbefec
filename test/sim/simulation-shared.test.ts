import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sharingKinds } from './fault-counts.ts';
import { planOf } from './plan.ts';
import { sharingSeedCount, sharingSeeds } from './profile.ts';
import { assertHeld, faultsIn, faultsMin, runSeeds } from './run-seeds.ts';
import { simulate } from './simulate.ts';

describe('simulation of stores that share memory', () => {
  it(`holds in ${sharingSeedCount} worlds whose memory outlives processes and no power`, async (t) => {
    const seeds = Array.from({ length: sharingSeedCount }, (_, index) => sharingSeeds + index);
    const reports = await runSeeds(seeds);
    const faults = faultsIn(reports);
    t.diagnostic(faults.toString());
    assertHeld(reports);
    const rare = faults.below(faultsMin, sharingKinds);
    assert.deepEqual(rare, [], 'kinds of faults that hardly happened');
  });
});

describe('a simulated world', () => {
  it('does the same, event by event, for the same seed', async () => {
    for (const seed of [1, 6, 7, 8, sharingSeeds + 6]) {
      const [first, second] = [
        await simulate(planOf(seed), { keepsTrace: true }),
        await simulate(planOf(seed), { keepsTrace: true }),
      ];
      assert.equal(first.lines.join('\n'), second.lines.join('\n'));
      assert.equal(first.digest, second.digest);
      assert.ok(first.lines.length > 1000);
    }
    const [one, other] = [await simulate(planOf(10)), await simulate(planOf(20))];
    assert.notEqual(one.digest, other.digest);
  });
});
