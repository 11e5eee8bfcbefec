/** Runs the test suite; `--help` says how. The last line printed counts single tests. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from './project.ts';
import { formatCounts, runTests } from './test-run.ts';

const help = `npm test -- [options] [part of a path ...]

  --slow           run the slow suites too (*.slow.test.ts)
  --slow-only      run only those
  --concurrency N  test files at a time (default: the number of processors)
  --timeout S      seconds that a test file may take (default 300; slow ones 4 times that)
`;

/** Longer than any quick file takes on a loaded machine with two processors. */
const fileTimeoutSeconds = 300;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      slow: { type: 'boolean', default: false },
      'slow-only': { type: 'boolean', default: false },
      concurrency: { type: 'string', default: String(availableParallelism()) },
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
    speed: values['slow-only'] ? 'slow' : values.slow ? 'all' : 'quick',
    filters: positionals,
    concurrency: positive('concurrency', values.concurrency),
    fileTimeoutMs: positive('timeout', values.timeout) * 1000,
    mustRunAll: process.env['CI'] === 'true',
    signal: interrupted.signal,
    print: (line) => console.log(line),
  });
  console.log(formatCounts(counts));
  return counts.failed === 0 && !interrupted.signal.aborted ? 0 : 1;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new RangeError(`--${option} takes a whole number above 0; got ${JSON.stringify(text)}`);
}
