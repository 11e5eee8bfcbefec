import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { DemoReport } from '../../src/cli/demo/demo-report.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { objectKeys } from '../support/stored-objects.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';

const url = process.env['WOMBATKV_TEST_S3_URL'] ?? '';
assert.notEqual(url, '', 'started by npm run s3');

describe('wombatkv demo on a bucket', () => {
  let home: TemporaryDirectory;
  before(async () => {
    home = await makeTemporaryDirectory('cli-demo-s3');
  });
  after(() => home.remove());

  it('restores after a kill and from the bucket alone, and leaves nothing there', async () => {
    const store = url.replace('?', `/demo-${process.pid}?`);
    const { exitCode, stdout, stderr } = await runCli(
      ['demo', '--quick', '--json', '--store', store],
      { home: home.path, environment: { TMPDIR: home.path } },
    );
    assert.equal(exitCode, 0, stderr);
    const report: DemoReport = JSON.parse(stdout);
    assert.equal(report.isGood, true, report.problems.join());
    const wiped = report.rows.find(({ name }) => name === 'cache-wiped');
    assert.equal(wiped?.isAnswerEqual, true);
    assert.equal(wiped.restoredTokens, 699);
    assert.equal(wiped.store.object.payloads, 6);
    const bucket = openObjectStore(store, nodePlatform());
    assert.deepEqual(await objectKeys(bucket), []);
    await bucket.close();
  });
});
