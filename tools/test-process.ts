import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { reportVariable } from './test-report.ts';
import type { ReportLine, TestRecord } from './test-report.ts';

/** What became of one test file. */
export interface FileResult {
  readonly tests: readonly TestRecord[];
  readonly diagnostics: readonly string[];
  /** A fault of the file as a whole: it crashed, hung, or has no test. */
  readonly fault: string | undefined;
  /** What it wrote to its standard output and error. */
  readonly output: string;
  readonly milliseconds: number;
}

export interface FileRunOptions {
  /** A folder for this run's own files. */
  readonly scratchDirectory: string;
  readonly timeoutMs: number;
  /** Ends the process and all that it started. */
  readonly signal: AbortSignal;
}

const testEntry = fileURLToPath(new URL('./test-entry.js', import.meta.url));

/** Runs one compiled test file in a process of its own, much as `node file.test.js` would. */
export async function runTestFile(path: string, options: FileRunOptions): Promise<FileResult> {
  const outputPath = join(options.scratchDirectory, 'output');
  const reportPath = join(options.scratchDirectory, 'report');
  const startedAt = performance.now();
  const output = openSync(outputPath, 'w');
  const child = spawn(process.execPath, [...nodeFlags(), testEntry, path], {
    // Files rather than pipes: what a crash leaves is there, and in order.
    stdio: ['ignore', output, output],
    env: { ...process.env, [reportVariable]: reportPath },
    // A process group, so that a hanging test does not leave the processes it started.
    detached: true,
  });
  closeSync(output);
  const exit = await exitOf(child, options);
  const lines = readReport(reportPath);
  const tests = lines.flatMap((line) => (line.type === 'test' ? [line.test] : []));
  return {
    tests,
    diagnostics: lines.flatMap((line) => (line.type === 'diagnostic' ? [line.text] : [])),
    fault: faultOf(exit, tests, lines.at(-1)?.type === 'end'),
    output: readFileSync(outputPath, 'utf8'),
    milliseconds: performance.now() - startedAt,
  };
}

function nodeFlags(): readonly string[] {
  return [
    '--enable-source-maps',
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

function faultOf(
  exit: string | undefined,
  tests: readonly TestRecord[],
  isReportComplete: boolean,
): string | undefined {
  const hasFailed = tests.some((test) => test.outcome === 'failed');
  // A failed test sets the exit status; that is no fault beside it.
  if (exit !== undefined && !(hasFailed && isReportComplete && exit.endsWith('status 1'))) {
    return `the file ${exit}`;
  }
  if (tests.length === 0) return 'the file has no test in it';
  return isReportComplete ? undefined : 'the file ended before its tests did';
}
