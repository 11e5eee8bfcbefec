/** Runs the test suite; `--help` says how. The last line printed counts single tests. */
import { existsSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from './project.ts';
import { concurrencyOfTests, formatCounts, runTests } from './test-run.ts';
import type { TestRunOptions } from './test-run.ts';

const help = `npm test -- [options] [part of a path ...]

  --slow           run the slow suites too (*.slow.test.ts)
  --slow-only      run only those
  --s3-only        run only those that need an S3 server (*.s3.test.ts; npm run s3 starts one)
  --system-only    run only those that need programs and rights (*.system.test.ts; npm run system)
  --peers-only     run only those that need other stores (*.peers.test.ts; npm run peers builds them)
  --except PART    leave out files whose path has this in it; may be given several times
  --alone          a process for each file; without it, small ones share processes
  --in-memory      temporary files in memory (/dev/shm) where 2 GiB are free there
  --concurrency N  processes at a time (default: half as many again as there are processors)
  --timeout S      seconds that a process may take (default 600; 4 times that for a slow file)
`;

/** Longer than any quick file takes on a loaded machine with two processors. */
const fileTimeoutSeconds = 600;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      slow: { type: 'boolean', default: false },
      'slow-only': { type: 'boolean', default: false },
      's3-only': { type: 'boolean', default: false },
      'system-only': { type: 'boolean', default: false },
      'peers-only': { type: 'boolean', default: false },
      except: { type: 'string', multiple: true, default: [] },
      alone: { type: 'boolean', default: false },
      'in-memory': { type: 'boolean', default: false },
      concurrency: { type: 'string', default: String(concurrencyOfTests()) },
      timeout: { type: 'string', default: String(fileTimeoutSeconds) },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interrupted.abort());
  }
  const counts = await runTests({
    directory: join(projectRoot(), 'dist'),
    speed: speedOf(values),
    filters: positionals,
    exceptions: values.except,
    concurrency: positive('concurrency', values.concurrency),
    aloneEach: values.alone,
    temporaryDirectory: values['in-memory'] ? memoryDirectory() : undefined,
    fileTimeoutMs: positive('timeout', values.timeout) * 1000,
    mustRunAll: process.env['CI'] === 'true',
    signal: interrupted.signal,
    print: (line) => console.log(line),
  });
  console.log(formatCounts(counts));
  return counts.failed === 0 && !interrupted.signal.aborted ? 0 : 1;
}

function speedOf(values: {
  readonly slow: boolean;
  readonly 'slow-only': boolean;
  readonly 's3-only': boolean;
  readonly 'system-only': boolean;
  readonly 'peers-only': boolean;
}): TestRunOptions['speed'] {
  if (values['s3-only']) return 's3';
  if (values['system-only']) return 'system';
  if (values['peers-only']) return 'peers';
  if (values['slow-only']) return 'slow';
  return values.slow ? 'all' : 'quick';
}

/** A folder whose files are in memory, if there is one with room for what quick tests write. */
function memoryDirectory(): string | undefined {
  const path = '/dev/shm';
  const freeBytesMin = 2 * 1024 ** 3;
  if (!existsSync(path)) return undefined;
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize >= freeBytesMin ? path : undefined;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`--${option} takes a whole number above 0; got ${JSON.stringify(text)}`);
}
