import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { FaultCounts, faultKinds } from './fault-counts.ts';
import type { SeedsReport } from './sim-child.ts';

const processes = 2;
/** How often each kind of fault must have happened in the seeds of a test run. */
export const faultsMin = 20;

/** Runs the seeds in processes side by side, and adds up what they tell. */
export async function runSeeds(seeds: readonly number[]): Promise<readonly SeedsReport[]> {
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

/** How often each kind of fault took effect in them all. */
export function faultsIn(reports: readonly SeedsReport[]): FaultCounts {
  const counts = new FaultCounts();
  for (const { faults } of reports) {
    faultKinds.forEach((kind, index) => counts.add(kind, faults[index]));
  }
  return counts;
}

/** The property of every world: what did not hold is named by the command that shows it again. */
export function assertHeld(reports: readonly SeedsReport[]): void {
  const failures = reports.flatMap((report) => report.failures);
  const text = failures.map(({ seed, failure }) => `npm run sim -- --seed ${seed}\n${failure}`);
  assert.equal(failures.length, 0, text.join('\n\n'));
  assert.ok(
    reports.every(({ crashes }) => crashes >= 1),
    'a crash in every world',
  );
}
