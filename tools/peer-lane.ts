/**
 * Runs the suites that need the Rust WombatKV (`*.peers.test.ts`), which cargo builds first into the
 * cache directory: minutes the first time. Nobody else runs them. Debian packages that the build needs
 * are installed, if that needs no password; where anything is missing then, the lane is skipped with
 * what to type. With CI=true that is a failure. The last line counts single tests.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { countsOfMissing } from './debian.ts';
import { projectRoot } from './project.ts';
import { buildRustWombatKv, missingForRust, rustVersion } from './rust-wombatkv.ts';
import { formatCounts } from './test-run.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const missing = missingForRust();
  if (missing !== undefined) {
    const counts = countsOfMissing(missing.what, missing.toType);
    console.log(formatCounts(counts));
    return counts.failed;
  }
  const startedAt = performance.now();
  console.log(`building ${rustVersion}: minutes the first time`);
  buildRustWombatKv();
  console.log(`built after ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
  const script = join(projectRoot(), 'dist', 'tools', 'test.js');
  const words = [script, '--peers-only', ...filters];
  const tests = spawn(process.execPath, words, { stdio: 'inherit' });
  const [status] = (await once(tests, 'exit')) as [number | null];
  return status ?? 1;
}
