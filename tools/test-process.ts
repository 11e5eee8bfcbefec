import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reportVariable } from './test-report.ts';
import type { FileEnd, FileStart, ReportLine, TestRecord } from './test-report.ts';

/** What became of one test file. */
export interface FileResult {
  /** Its path, as it was given. */
  readonly file: string;
  readonly tests: readonly TestRecord[];
  readonly diagnostics: readonly string[];
  /** A fault of the file as a whole: it crashed, hung, or has no test. */
  readonly fault: string | undefined;
  /** What was written to standard output and error while it ran. */
  readonly output: string;
  readonly milliseconds: number;
}

export interface FileRunOptions {
  /** A folder for this run's own files. */
  readonly scratchDirectory: string;
  /** Where tests make their temporary files; where the system says, when absent. */
  readonly temporaryDirectory?: string | undefined;
  /** For all files together. */
  readonly timeoutMs: number;
  /** Ends the process and all that it started. */
  readonly signal: AbortSignal;
}

const testEntry = fileURLToPath(new URL('./test-entry.js', import.meta.url));

/**
 * Runs compiled test files one after another in a process of their own. The results are of those that
 * ran, in any order and at least one: a file that ends the process, or leaves something open, keeps
 * others from their turn.
 */
export async function runTestFiles(
  paths: readonly [string, ...string[]],
  options: FileRunOptions,
): Promise<readonly FileResult[]> {
  const outputPath = join(options.scratchDirectory, 'output');
  const reportPath = join(options.scratchDirectory, 'report');
  const startedAt = Date.now();
  const output = openSync(outputPath, 'w');
  const child = spawn(process.execPath, [...nodeFlags(), testEntry, ...paths], {
    // Files rather than pipes: what a crash leaves is there, and in order.
    stdio: ['ignore', output, output],
    env: { ...process.env, ...environmentOf(options), [reportVariable]: reportPath },
    // A process group, so that a hanging test does not leave the processes it started.
    detached: true,
  });
  closeSync(output);
  const exit = await exitOf(child, options);
  const lines = readReport(reportPath);
  const starts = lines.filter((line) => line.type === 'file-start');
  if (starts.length === 0) {
    starts.push({ type: 'file-start', file: paths[0], at: startedAt, outputBytes: 0 });
  }
  return resultsOf({ starts, lines, exit, output: readFileSync(outputPath) });
}

/** What is known of a process that ended. */
interface Run {
  readonly starts: readonly FileStart[];
  readonly lines: readonly ReportLine[];
  /** Why it did not end well; undefined when it did. */
  readonly exit: string | undefined;
  readonly output: Buffer;
}

function resultsOf(run: Run): readonly FileResult[] {
  const isReportComplete = run.lines.at(-1)?.type === 'end';
  return run.starts.flatMap((start, index) => {
    const { file } = start;
    const next = run.starts[index + 1];
    const lines = run.lines.filter((line) => 'file' in line && line.file === file);
    const tests = lines.flatMap((line) => (line.type === 'test' ? [line.test] : []));
    // Of a process that broke off, node:test may not have told yet all that became of earlier files.
    const isReported = lines.some((line) => line.type === 'file-reported');
    if (next !== undefined && !isReported) return [];
    const end = lines.find((line) => line.type === 'file-end');
    // At its end the process tells of a failure in any file.
    const others = run.lines.filter((line) => 'file' in line && line.file !== file);
    const hasFailed = hasFailure(run.lines) || others.some(hasStatus);
    const ofProcess = { exit: run.exit, hasFailed, isReportComplete };
    const own = { exit: statusOf(end), hasFailed: hasFailure(lines), isReportComplete: true };
    const atEnd = next === undefined ? faultOf(ofProcess, tests) : undefined;
    return {
      file,
      tests,
      diagnostics: lines.flatMap((line) => (line.type === 'diagnostic' ? [line.text] : [])),
      fault: leftOpen(end) ?? atEnd ?? faultOf(own, tests),
      output: run.output.subarray(start.outputBytes, next?.outputBytes).toString('utf8'),
      milliseconds: (end?.at ?? Date.now()) - start.at,
    };
  });
}

function environmentOf({ temporaryDirectory }: FileRunOptions): NodeJS.ProcessEnv {
  return temporaryDirectory === undefined ? {} : { TMPDIR: temporaryDirectory };
}

function nodeFlags(): readonly string[] {
  return [
    `--test-reporter=${new URL('./test-reporter.js', import.meta.url).href}`,
    '--test-reporter-destination=stdout',
  ];
}

/** How the process ended: `undefined` for well, else in words. */
function exitOf(child: ChildProcess, options: FileRunOptions): Promise<string | undefined> {
  return new Promise((resolve) => {
    let reason: string | undefined;
    const end = (why: string): void => {
      reason = why;
      killGroup(child);
    };
    const timer = setTimeout(() => {
      end(`did not end within ${options.timeoutMs / 1000} s: a test hangs or left something open`);
    }, options.timeoutMs);
    const onAbort = (): void => end('was interrupted');
    options.signal.addEventListener('abort', onAbort);
    const settle = (words: string | undefined): void => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      resolve(reason ?? words);
    };
    child.once('error', (error) => settle(`could not be started: ${error.message}`));
    child.once('exit', (status, signal) => {
      if (status === 0) settle(undefined);
      else settle(signal === null ? `ended with exit status ${status}` : `ended by ${signal}`);
    });
  });
}

function killGroup(child: ChildProcess): void {
  const hasEnded = child.exitCode !== null || child.signalCode !== null;
  if (child.pid === undefined || hasEnded) return;
  process.kill(-child.pid, 'SIGKILL');
}

function readReport(path: string): readonly ReportLine[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line): ReportLine => JSON.parse(line));
}

function hasFailure(lines: readonly ReportLine[]): boolean {
  return lines.some((line) => line.type === 'test' && line.test.outcome === 'failed');
}

function hasStatus(line: ReportLine): boolean {
  return line.type === 'file-end' && line.exitStatus !== 0;
}

function statusOf(end: FileEnd | undefined): string | undefined {
  const status = end?.exitStatus ?? 0;
  return status === 0 ? undefined : `ended with exit status ${status}`;
}

function leftOpen(end: FileEnd | undefined): string | undefined {
  if (end === undefined || end.leftOpen.length === 0) return undefined;
  return `the file left something open: ${end.leftOpen.join(', ')}`;
}

function faultOf(
  ending: { readonly exit: string | undefined; hasFailed: boolean; isReportComplete: boolean },
  tests: readonly TestRecord[],
): string | undefined {
  const { exit, hasFailed, isReportComplete } = ending;
  // A failed test sets the exit status; that is no fault beside it.
  if (exit !== undefined && !(hasFailed && isReportComplete && exit.endsWith('status 1'))) {
    return `the file ${exit}`;
  }
  if (tests.length === 0) return 'the file has no test in it';
  return isReportComplete ? undefined : 'the file ended before its tests did';
}
