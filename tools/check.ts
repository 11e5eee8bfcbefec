/**
 * Runs the checks named as arguments, or all of them, side by side, and says how long each took.
 * Types are checked by tools/setup.mjs, which compiles before this program can run.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { FormatMemory } from './check-format.ts';
import { projectRoot } from './project.ts';
import { readProject } from './tidy-project.ts';
import type { Project } from './tidy-project.ts';
import { formatFinding, tidy } from './tidy.ts';

interface Outcome {
  readonly isGood: boolean;
  /** Shown when the check failed. */
  readonly details: string;
  /** One line about a check that passed, if there is more to say. */
  readonly summary?: string | undefined;
}

type Check = (project: Project) => Promise<Outcome>;

/** Beyond this it says so. What it takes is in docs/TESTING.md. */
const budgetSeconds = 60;

const textChecks: Readonly<Record<string, Check>> = {
  format: checkFormat,
  lint: ({ root }) => runNode(root, ['node_modules/oxlint/bin/oxlint', '-c', 'oxlint.config.mjs']),
  generated: ({ root }) => runNode(root, ['dist/tools/gen.js', '--check']),
  tidy: (project) => {
    const findings = tidy(project).map(formatFinding);
    return Promise.resolve({ isGood: findings.length === 0, details: findings.join('\n') });
  },
};

/**
 * Unit and conformance tests: the files beside the sources up to the store. Clients, daemon, engines and
 * command line are in `npm test`, and so is what mostly starts processes, servers or whole stores with
 * their threads, or follows random traces.
 */
const unitTests = [
  ...['--in-memory', 'src/', 'tools/'],
  ...['--except', 'src/cache/cache-directory-races'],
  ...['--except', 'src/cache/segment-index'],
  ...['--except', 'src/cli/'],
  ...['--except', 'src/client/'],
  ...['--except', 'src/daemon/'],
  ...['--except', 'src/engines/'],
  ...['--except', 'src/objectstore/directory-object-store'],
  ...['--except', 'src/objectstore/key-locks'],
  ...['--except', 'src/objectstore/s3/s3-object-store'],
  ...['--except', 'src/open-store'],
  ...['--except', 'src/platform/worker-pool'],
  ...['--except', 'src/store/collect-store'],
  ...['--except', 'src/store/store-shared'],
  ...['--except', 'tools/test-run'],
  ...['--except', '.trace.test'],
] as const;

const checks: Readonly<Record<string, Check>> = {
  // First, because they take longest.
  tests: async ({ root }) => {
    const outcome = await runNode(root, ['dist/tools/test.js', ...unitTests]);
    return { ...outcome, summary: outcome.details.trimEnd().split('\n').at(-1) };
  },
  ...textChecks,
};

process.exitCode = await main(process.argv.slice(2));

async function main(asked: readonly string[]): Promise<number> {
  const unknown = asked.find((name) => !(name in checks));
  if (unknown !== undefined) {
    console.error(`check: unknown check ${unknown}; there are: ${Object.keys(checks).join(', ')}`);
    return 2;
  }
  const names = asked.length === 0 ? Object.keys(checks) : asked;
  const startedAt = performance.now();
  const project = readProject(projectRoot());
  const outcomes = await Promise.all(names.map((name) => runAndPrint(name, project)));
  const seconds = (performance.now() - startedAt) / 1000;
  const isLate = asked.length === 0 && seconds > budgetSeconds;
  console.log(`took ${seconds.toFixed(1)} s${isLate ? `, over ${budgetSeconds} s` : ''}`);
  const passed = outcomes.filter((isGood) => isGood).length;
  console.log(`${passed} passed, ${outcomes.length - passed} failed, 0 skipped`);
  return passed === outcomes.length ? 0 : 1;
}

async function runAndPrint(name: string, project: Project): Promise<boolean> {
  const startedAt = performance.now();
  const { isGood, details, summary } = await checks[name](project);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const more = summary === undefined ? '' : `: ${summary}`;
  console.log(`${isGood ? 'ok  ' : 'FAIL'} ${name}${more} (${seconds} s)`);
  if (!isGood) console.log(details.trimEnd());
  return isGood;
}

async function checkFormat(project: Project): Promise<Outcome> {
  const memory = new FormatMemory(project);
  const { changed } = memory;
  if (changed.length === 0) return { isGood: true, details: '' };
  const script = 'node_modules/prettier/bin/prettier.cjs';
  const options = ['--check', '--ignore-unknown', ...changed];
  const outcome = await runNode(project.root, [script, ...options]);
  if (outcome.isGood) memory.remember();
  return outcome;
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
