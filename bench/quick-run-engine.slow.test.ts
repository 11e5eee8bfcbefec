import { after, before, describe, it } from 'node:test';
import { withoutNative } from '../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../test/support/temporary-directory.ts';
import { checkQuickRun } from './quick-run.ts';

/**
 * Scenarios with an engine or a million blocks, which take minutes in their shortest form too: left to who changes them,
 * as compression is, which computes KV for most of a minute.
 */
const scenarios: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  scale: { scale: 18 },
  'main-job': { 'main-job': 12, 'main-job-breakdown': 16, suffix: 4, save: 7, 'never-slower': 6 },
  'engine-sequence': { 'engine-sequence-13': 48, 'engine-sequence-start': 10 },
};

describe('npm run bench -- --quick', { skip: withoutNative() }, () => {
  let directory: TemporaryDirectory;
  before(async () => {
    directory = await makeTemporaryDirectory('quick-run-engine');
  });
  after(() => directory.remove());

  for (const [scenario, rowsMin] of Object.entries(scenarios)) {
    it(`measures ${scenario}`, () => checkQuickRun(scenario, rowsMin, directory.path));
  }
});
