import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { faultKinds, sharingKinds } from './fault-counts.ts';
import { readKeptSeeds } from './kept-seeds.ts';
import { usualSeedCount } from './profile.ts';
import { assertHeld, faultsIn, faultsMin, runSeeds } from './run-seeds.ts';
import type { SeedsReport } from './sim-child.ts';

describe('simulation', () => {
  // Goal: whatever goes wrong around it, the store never gives a wrong byte, loses nothing that it
  // accepted, and everything comes right when the faults end (oracle.ts has the whole list). Method:
  // the real store in worlds of virtual time, disks, network and bucket, each made from a seed.
  it(`holds in ${usualSeedCount} worlds, and in those where it did not hold once`, async (t) => {
    const usual = Array.from({ length: usualSeedCount }, (_, seed) => seed);
    const kept = readKeptSeeds().map(({ seed }) => seed);
    const reports = await runSeeds([...new Set([...usual, ...kept])]);
    const sum = (value: (report: SeedsReport) => number): number =>
      reports.reduce((total, report) => total + value(report), 0);
    t.diagnostic(
      `${sum((one) => one.operations)} operations, ${sum((one) => one.comparisons)} payloads`,
    );
    const faults = faultsIn(reports);
    t.diagnostic(faults.toString());
    assertHeld(reports);
    const due = faultKinds.filter((kind) => !sharingKinds.includes(kind));
    assert.deepEqual(faults.below(faultsMin, due), [], 'kinds of faults that hardly happened');
  });
});
