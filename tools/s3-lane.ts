/**
 * Runs the suites of real S3 (`*.s3.test.ts`) on a radosgw that lives as long as they do. Where its
 * packages are missing they are installed, if that needs no password; else the lane is skipped with
 * the command to type. With CI=true that is a failure. The last line counts single tests.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { countsOfMissing, installCommandOf, tryInstall } from './debian.ts';
import { projectRoot } from './project.ts';
import { createBucket } from './radosgw-setup.ts';
import { cephPackages, missingPrograms, startRadosgw } from './radosgw.ts';
import type { Radosgw } from './radosgw.ts';
import { formatCounts } from './test-run.ts';

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  if (missingPrograms().length > 0) tryInstall(cephPackages);
  const missing = missingPrograms();
  if (missing.length > 0) {
    const what = `S3 on radosgw cannot run here: ${missing.join(', ')} missing`;
    const counts = countsOfMissing(what, installCommandOf(cephPackages));
    console.log(formatCounts(counts));
    return counts.failed;
  }
  const startedAt = performance.now();
  const server = await startRadosgw();
  const end = (): void => void server.stop().then(() => process.exit(1));
  process.once('SIGINT', end).once('SIGTERM', end);
  try {
    await createBucket(server, 'wombat');
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    console.log(`radosgw answers at ${server.endpoint} after ${seconds} s`);
    return await runSuites(server, filters);
  } finally {
    await server.stop();
  }
}

async function runSuites(server: Radosgw, filters: readonly string[]): Promise<number> {
  const script = join(projectRoot(), 'dist', 'tools', 'test.js');
  const tests = spawn(process.execPath, [script, '--s3-only', ...filters], {
    stdio: 'inherit',
    env: {
      ...process.env,
      WOMBATKV_TEST_S3_URL: `s3://wombat?endpoint=${server.endpoint}`,
      WOMBATKV_TEST_S3_DOMAIN: server.domain,
      AWS_ACCESS_KEY_ID: server.accessKey,
      AWS_SECRET_ACCESS_KEY: server.secretKey,
    },
  });
  const [status] = (await once(tests, 'exit')) as [number | null];
  return status ?? 1;
}
