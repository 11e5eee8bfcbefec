import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { inSources } from './source-positions.ts';
import { runTestFiles } from './test-process.ts';
import type { FileResult } from './test-process.ts';
import { groupsOf, longestFirst } from './test-order.ts';
import type { Group } from './test-order.ts';
import type { TestRecord } from './test-report.ts';

export interface TestRunOptions {
  /** Where compiled test files are looked for. */
  readonly directory: string;
  /**
   * Which kinds: `*.test.js`, `*.slow.test.js`, both, or those that need something of the machine: a
   * server (`*.s3.test.js`), programs and rights (`*.system.test.js`), or other stores (`*.peers.test.js`).
   */
  readonly speed: 'quick' | 'slow' | 'all' | Need;
  /** Only files whose path has one of these in it; all when empty. */
  readonly filters: readonly string[];
  /** No files whose path has one of these in it. */
  readonly exceptions?: readonly string[] | undefined;
  /** Processes at a time. */
  readonly concurrency: number;
  /** Whether no files share a process. */
  readonly aloneEach?: boolean | undefined;
  /** Where tests make their temporary files; where the system says, when absent. */
  readonly temporaryDirectory?: string | undefined;
  /** A process may take this long; one of a slow file, `slowFileFactor` times as long. */
  readonly fileTimeoutMs: number;
  /** Whether a skipped test is a failure, unless it is called opt-in. */
  readonly mustRunAll: boolean;
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

/** What a test file may need of the machine; its name says it. */
const needs = ['s3', 'system', 'peers'] as const;
type Need = (typeof needs)[number];

export interface TestCounts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const slowFileFactor = 4;

/**
 * Processes at a time, unless somebody says otherwise: half as many again as there are processors. Of the time
 * of a suite a quarter is waiting, for deadlines, disks and processes that it started.
 */
export function concurrencyOfTests(): number {
  return Math.ceil(availableParallelism() * 1.5);
}

/**
 * Runs the test files, those of a group in one process, and prints a line for each and failures in
 * full.
 */
export async function runTests(options: TestRunOptions): Promise<TestCounts> {
  const found = findTestFiles(options);
  // There may be no slow suite; a filter that finds nothing is a slip of the pen.
  if (found.length === 0 && (options.speed !== 'slow' || options.filters.length > 0)) {
    options.print(`no test file in ${options.directory} matches`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const groups = options.aloneEach === true ? found.map(alone) : groupsOf(options.directory, found);
  const scratch = mkdtempSync(join(tmpdir(), 'wombatkv-test-'));
  try {
    const waiting = [...longestFirst(groups)];
    const files: CountedFile[] = [];
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        if (options.signal.aborted) return;
        const scratchDirectory = mkdtempSync(join(scratch, 'process-'));
        const done = await runGroup(next, scratchDirectory, options);
        files.push(...done);
        // A file that ended its process, or left something open, kept others from their turn.
        const [first, ...rest] = next.filter((file) => !done.some((one) => one.file === file));
        if (first !== undefined) waiting.unshift([first, ...rest]);
      }
    };
    await Promise.all(Array.from({ length: options.concurrency }, work));
    for (const line of describeUntested(files)) options.print(line);
    return sum(files.map(({ count }) => count));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function alone(file: string): Group {
  return [file];
}

/** The test files to run, relative to the directory. */
export function findTestFiles(
  options: Pick<TestRunOptions, 'directory' | 'speed' | 'filters' | 'exceptions'>,
): readonly string[] {
  const entries = readdirSync(options.directory, { recursive: true, encoding: 'utf8' });
  return entries
    .filter((path) => path.endsWith('.test.js'))
    .filter((path) => isOfSpeed(path, options.speed))
    .filter((path) => {
      const { filters, exceptions = [] } = options;
      return (filters.length === 0 || hasOneOf(path, filters)) && !hasOneOf(path, exceptions);
    })
    .sort();
}

function hasOneOf(path: string, parts: readonly string[]): boolean {
  return parts.some((part) => path.includes(part) || sourceOf(path).includes(part));
}

function isOfSpeed(path: string, speed: TestRunOptions['speed']): boolean {
  const need = needOf(path);
  if (need !== undefined || needs.some((one) => one === speed)) return speed === need;
  return speed === 'all' || isSlow(path) === (speed === 'slow');
}

function isSlow(path: string): boolean {
  return path.endsWith('.slow.test.js') || needOf(path) !== undefined;
}

function needOf(path: string): Need | undefined {
  return needs.find((need) => path.endsWith(`.${need}.test.js`));
}

function sourceOf(path: string): string {
  return path.replace(/\.js$/, '.ts');
}

interface CountedFile {
  readonly file: string;
  readonly count: TestCounts;
  /** Why tests of it were not run, of each that no other lane runs. */
  readonly untested: readonly string[];
}

/** Runs files in one process and prints what became of those that had their turn. */
async function runGroup(
  group: Group,
  scratchDirectory: string,
  options: TestRunOptions,
): Promise<readonly CountedFile[]> {
  const [first, ...rest] = group.map((file) => join(options.directory, file));
  const results = await runTestFiles([first, ...rest], {
    scratchDirectory,
    temporaryDirectory: options.temporaryDirectory,
    timeoutMs: options.fileTimeoutMs * (group.some(isSlow) ? slowFileFactor : 1),
    signal: options.signal,
  });
  return results.map((result) => {
    const file = relative(options.directory, result.file);
    const untested = result.tests.filter((test) => test.outcome === 'skipped' && !isExcused(test));
    return {
      ...{ file, count: countAndPrint(sourceOf(file), result, options) },
      untested: untested.map(({ text }) => text.trim()),
    };
  });
}

function countAndPrint(file: string, result: FileResult, options: TestRunOptions): TestCounts {
  const tests = result.tests.map((test) => (options.mustRunAll ? withoutExcuse(test) : test));
  const count = (outcome: string): number => tests.filter((t) => t.outcome === outcome).length;
  const counts = {
    passed: count('passed'),
    failed: count('failed') + (result.fault === undefined ? 0 : 1),
    skipped: count('skipped'),
  };
  const report = describeFile(file, { ...result, tests }, counts);
  options.print(counts.failed === 0 ? report : inSources(report));
  return counts;
}

/**
 * Where every test must run, a skipped one fails, unless the issue that asked for it calls it opt-in, or
 * another lane of `.ci/run` runs it, in which it has no such excuse.
 */
function withoutExcuse(test: TestRecord): TestRecord {
  if (test.outcome !== 'skipped' || isExcused(test)) return test;
  return { ...test, outcome: 'failed', text: `skipped, and CI=true: ${test.text || 'no reason'}` };
}

function isExcused({ text, names }: TestRecord): boolean {
  return [text, ...names].some((part) => /^(opt-in|left to another lane)/i.test(part));
}

/** The last words of a run, for whoever reads no others: what was not tested, and why. */
function describeUntested(files: readonly CountedFile[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const reason of files.flatMap(({ untested }) => untested)) {
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return Array.from(counts, ([reason, count]) => {
    const tests = count === 1 ? '1 test' : `${count} tests`;
    return `NOT TESTED: ${tests}, skipped for ${reason === '' ? 'no reason' : reason}`;
  });
}

function describeFile(file: string, result: FileResult, counts: TestCounts): string {
  const seconds = (result.milliseconds / 1000).toFixed(1);
  const isGood = counts.failed === 0;
  const lines = [`${isGood ? 'ok  ' : 'FAIL'} ${file}: ${formatCounts(counts)} (${seconds} s)`];
  lines.push(...result.diagnostics.map((text) => `       # ${text}`));
  for (const { outcome, names, text } of result.tests) {
    const name = names.length === 0 ? 'the file itself' : names.join(' > ');
    if (outcome === 'skipped') lines.push(`     skipped: ${name} ${text}`.trimEnd());
    if (outcome === 'failed') lines.push(`     failed: ${name}`, indent(text));
  }
  if (result.fault !== undefined) lines.push(`     failed: ${result.fault}`);
  if (!isGood && result.output.trim() !== '') lines.push('     its output:', indent(result.output));
  return lines.join('\n');
}

function indent(text: string): string {
  return text.trimEnd().replace(/^/gm, '       ');
}

function sum(all: readonly TestCounts[]): TestCounts {
  const total = (name: keyof TestCounts): number => all.reduce((n, counts) => n + counts[name], 0);
  return { passed: total('passed'), failed: total('failed'), skipped: total('skipped') };
}

/** `12 passed, 0 failed, 1 skipped`: the words that `.ci/run` reads. */
export function formatCounts({ passed, failed, skipped }: TestCounts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}
