import { after, before, describe, it } from 'node:test';
import { withoutNative } from '../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../test/support/temporary-directory.ts';
import { checkQuickRun } from './quick-run.ts';

/**
 * Scenarios of the store alone that need no bucket of S3, the longest first, and how many rows each of their tables has at
 * least: peers add more where they are installed.
 */
const scenarios: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'between-hosts': {
    ...{ 'between-hosts-1048576': 10, 'between-hosts-16384': 10, 'between-hosts-calls': 18 },
    ...{ 'between-hosts-c': 16, 'between-hosts-calls-c': 10 },
  },
  'one-host': {
    ...{ 'one-host': 7, 'one-host-puts-in-c': 7, 'one-host-sizes': 5, 'one-host-node': 5 },
    ...{ 'one-host-puts': 5, 'one-host-unix': 12 },
  },
  ...{ hashing: { hashing: 13 }, framing: { framing: 4 }, parsing: { parsing: 4 } },
  tiers: { tiers: 20 },
};

/** A benchmark that has broken is seen before somebody wants its figures. */
describe('npm run bench -- --quick', { skip: withoutNative(), concurrency: 2 }, () => {
  let directory: TemporaryDirectory;
  before(async () => {
    directory = await makeTemporaryDirectory('quick-run');
  });
  after(() => directory.remove());

  for (const [scenario, rowsMin] of Object.entries(scenarios)) {
    it(`measures ${scenario}`, () => checkQuickRun(scenario, rowsMin, directory.path));
  }
});
