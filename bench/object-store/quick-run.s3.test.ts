import { after, before, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { checkQuickRun } from '../quick-run.ts';

/** On a server of its own, which is installed where these tests run. */
describe('npm run bench -- object-store --quick', () => {
  let directory: TemporaryDirectory;
  before(async () => {
    directory = await makeTemporaryDirectory('quick-run-s3');
  });
  after(() => directory.remove());

  it('measures restores, requests, faults and what other hosts see', () =>
    checkQuickRun(
      'object-store',
      {
        ...{ 'object-store-restore': 24, 'object-store-requests': 14, 'object-store-faults': 12 },
        'object-store-visibility': 3,
      },
      directory.path,
    ));
});
