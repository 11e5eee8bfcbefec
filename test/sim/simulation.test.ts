import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FaultCounts, faultKinds } from './fault-counts.ts';
import { readKeptSeeds } from './kept-seeds.ts';
import { planOf } from './plan.ts';
import { sharingSeeds } from './profile.ts';
import type { SeedsReport } from './sim-child.ts';
import { simulate } from './simulate.ts';

/** Seeds of every test run, and how often each kind of fault must have happened in them. */
const seedCount = 200;
const sharingCount = 40;
const faultsMin = 20;
const processes = 2;

/** Runs the seeds in processes side by side, and adds up what they tell. */
async function runSeeds(seeds: readonly number[]): Promise<readonly SeedsReport[]> {
  const script = fileURLToPath(new URL('./sim-child.js', import.meta.url));
  return Promise.all(
    Array.from({ length: processes }, async (_, share) => {
      const own = seeds.filter((_seed, index) => index % processes === share);
      const child = fork(script, [JSON.stringify(own)], { execArgv: ['--enable-source-maps'] });
      const ended = once(child, 'exit').then(([status]) => {
        throw new Error(`the process of the seeds ended with ${status} before it told`);
      });
      ended.catch(() => undefined);
      const [report] = (await Promise.race([once(child, 'message'), ended])) as [SeedsReport];
      return report;
    }),
  );
}

describe('simulation', () => {
  // Goal: whatever goes wrong around it, the store never gives a wrong byte, loses nothing that it
  // accepted, and everything comes right when the faults end (oracle.ts has the whole list). Method:
  // the real store in worlds of virtual time, disks, network and bucket, each made from a seed.
  it(`holds in ${seedCount} worlds, in ${sharingCount} that share memory, and in those where it did not hold once`, async (t) => {
    const usual = Array.from({ length: seedCount }, (_, seed) => seed);
    const sharing = Array.from({ length: sharingCount }, (_, index) => sharingSeeds + index);
    const seeds = [...usual, ...sharing];
    const kept = readKeptSeeds().map(({ seed }) => seed);
    const reports = await runSeeds([...new Set([...seeds, ...kept])]);
    const counts = new FaultCounts();
    for (const { faults } of reports) {
      faultKinds.forEach((kind, index) => counts.add(kind, faults[index]));
    }
    const sum = (value: (report: SeedsReport) => number): number =>
      reports.reduce((total, report) => total + value(report), 0);
    t.diagnostic(
      `${sum((one) => one.operations)} operations, ${sum((one) => one.comparisons)} payloads`,
    );
    t.diagnostic(counts.toString());
    const failures = reports.flatMap((report) => report.failures);
    const text = failures.map(({ seed, failure }) => `npm run sim -- --seed ${seed}\n${failure}`);
    assert.equal(failures.length, 0, text.join('\n\n'));
    assert.deepEqual(counts.below(faultsMin), [], 'kinds of faults that hardly happened');
    assert.ok(
      reports.every(({ crashes }) => crashes >= 1),
      'a crash in every world',
    );
  });

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
