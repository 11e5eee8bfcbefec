import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import type { DemoReport } from '../../src/cli/demo/demo-report.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';

/**
 * Goal: the demo shows the same through a daemon as without. Method: the counters of its store, and
 * the answers; the daemon is killed with the first process and stopped when the cache is wiped.
 */
export async function checkDemoThrough(transport: 'shm' | 'unix' | 'tcp' | 'http'): Promise<void> {
  const home = await makeTemporaryDirectory('demo-through');
  try {
    const args = ['demo', '--quick', '--json', '--through', transport];
    const options = { home: home.path, environment: { TMPDIR: home.path } };
    const { exitCode, stdout, stderr } = await runCli(args, options);
    assert.equal(exitCode, 0, stderr);
    const report: DemoReport = JSON.parse(stdout);
    assert.deepEqual(report.problems, []);
    const restored = report.rows.map(({ name, restoredTokens }) => [name, restoredTokens]);
    const shared = Math.floor(report.sharedTokens / 128) * 128;
    assert.deepEqual(restored, [
      ['cold', 0],
      ['restarted', 699],
      ['cache-wiped', 699],
      ['other-ending-cold', 0],
      ['other-ending', shared],
    ]);
    const [cold, restarted, wiped] = report.rows;
    assert.ok(cold.saved.payloads >= 6, `${cold.saved.payloads} payloads saved`);
    assert.equal(restarted.store.object.payloads, 0);
    assert.equal(restarted.store.memory.payloads + restarted.store.disk.payloads, 6);
    assert.deepEqual([wiped.store.memory.bytes, wiped.store.disk.bytes], [0, 0]);
    assert.equal(wiped.store.object.payloads, 6);
    const left = (await readdir(home.path)).filter((name) => name.startsWith('wombatkv-demo'));
    assert.deepEqual(left, [], 'its directory is removed, and the daemon with it');
  } finally {
    await home.remove();
  }
}
