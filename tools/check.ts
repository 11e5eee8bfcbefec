/**
 * Runs the checks named as arguments, or all of them: those of the text side by side, then the
 * tests. Types are checked by tools/setup.mjs, which compiles before this program can run.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from './project.ts';
import { formatFinding, tidy } from './tidy.ts';

interface Outcome {
  readonly isGood: boolean;
  /** Shown when the check failed. */
  readonly details: string;
}

type Check = (root: string) => Promise<Outcome>;

const textChecks: Readonly<Record<string, Check>> = {
  // What was in order stays so until it changes; the first run takes half a minute of a processor.
  format: (root) =>
    runNode(root, ['node_modules/prettier/bin/prettier.cjs', '--check', '--cache', '.']),
  lint: (root) => runNode(root, ['node_modules/oxlint/bin/oxlint', '-c', 'oxlint.config.mjs']),
  generated: (root) => runNode(root, ['dist/tools/gen.js', '--check']),
  tidy: (root) => {
    const findings = tidy(root).map(formatFinding);
    return Promise.resolve({ isGood: findings.length === 0, details: findings.join('\n') });
  },
};

/**
 * Unit and conformance tests. Those of engines, crashes and command line are in `npm test`, and so
 * are those beside the sources that mostly start processes, to kill them or to see them end.
 */
const unitTests = [
  ...['src/', 'tools/'],
  ...['--except', 'src/cache/cache-directory-races'],
  ...['--except', 'src/objectstore/directory-object-store-crash'],
  ...['--except', 'src/open-store.test'],
  ...['--except', 'src/engines/llama/state-engine'],
  ...['--except', 'src/engines/llama/llama-identity'],
];

const checks: Readonly<Record<string, Check>> = {
  ...textChecks,
  tests: (root) => runNode(root, ['dist/tools/test.js', ...unitTests]),
};

process.exitCode = await main(process.argv.slice(2));

async function main(asked: readonly string[]): Promise<number> {
  const unknown = asked.find((name) => !(name in checks));
  if (unknown !== undefined) {
    console.error(`check: unknown check ${unknown}; there are: ${Object.keys(checks).join(', ')}`);
    return 2;
  }
  const names = asked.length === 0 ? Object.keys(checks) : asked;
  // The tests keep all processors busy, and some of them measure time.
  const isText = (name: string): boolean => name in textChecks;
  const outcomes = await Promise.all(names.filter(isText).map(runAndPrint));
  for (const name of names) if (!isText(name)) outcomes.push(await runAndPrint(name));
  const passed = outcomes.filter((isGood) => isGood).length;
  console.log(`${passed} passed, ${outcomes.length - passed} failed, 0 skipped`);
  return passed === outcomes.length ? 0 : 1;
}

async function runAndPrint(name: string): Promise<boolean> {
  const startedAt = performance.now();
  const { isGood, details } = await checks[name](projectRoot());
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${isGood ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)`);
  if (!isGood) console.log(details.trimEnd());
  return isGood;
}

function runNode(
  root: string,
  [script, ...options]: readonly [string, ...string[]],
): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(root, script), ...options], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let details = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (details += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (details += text));
    child.once('error', (error) => resolve({ isGood: false, details: error.message }));
    child.once('close', (status) => resolve({ isGood: status === 0, details }));
  });
}
