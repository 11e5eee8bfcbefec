/**
 * What the runner starts: runs the test files named by the arguments one after another, each as a
 * suite of its own around whatever it registers, hooks included. A file is imported when the tests
 * of the one before it have ended and have left nothing open.
 *
 * It also switches off the hook by which node:test follows every promise and every request of the
 * file system to the test that made it. That costs up to a third of a file's time. Suites are laid out
 * by then, which needs the hook; later it only tells to which test an uncaught exception belongs, and
 * without it one is reported for the whole file.
 */
import { createHook } from 'node:async_hooks';
import type { AsyncHook } from 'node:async_hooks';
import { appendFileSync, fstatSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { inspect } from 'node:util';
import { endOfFileName, reportVariable } from './test-report.ts';
import type { ReportLine } from './test-report.ts';

/** Time that a file has to let go of what its tests used, and between two looks. */
const leftOpenMsMax = 5000;
const lookEveryMs = 5;

/** What the source of the hook of node:test holds, and that of no other. */
const signOfHook = 'testResources';

const followers: AsyncHook[] = [];
const prototype = Object.getPrototypeOf(createHook({})) as AsyncHook;
const enable: (this: AsyncHook) => AsyncHook = Reflect.get(prototype, 'enable');
prototype.enable = function enableAndNote(this: AsyncHook): AsyncHook {
  if (isHookOfTests(this)) followers.push(this);
  return enable.call(this);
};
// Seen with Node 20 only: others may lay out their suites later than a file is imported.
const switchesOff = process.versions.node.startsWith('20.');

const environment = { ...process.env };
const directory = process.cwd();
const reportPath = environment[reportVariable];
if (reportPath === undefined) throw new Error(`${reportVariable} is not set; use \`npm test\``);

await runFiles(process.argv.slice(2));

async function runFiles(files: readonly string[]): Promise<void> {
  const before = process.getActiveResourcesInfo();
  for (const [index, file] of files.entries()) {
    write({ type: 'file-start', file, at: Date.now(), outputBytes: fstatSync(1).size });
    const reportError = (error: unknown): void =>
      write({ type: 'diagnostic', file, text: `uncaught: ${inspect(error)}` });
    process.on('uncaughtExceptionMonitor', reportError).on('unhandledRejection', reportError);
    await runFile(file);
    // Whether the last one leaves something open is told by the end of the process.
    const isLast = index === files.length - 1;
    const leftOpen = isLast ? [] : await whatIsLeftOpen(before);
    const exitStatus = Number(process.exitCode ?? 0);
    write({ type: 'file-end', file, at: Date.now(), exitStatus, leftOpen });
    if (isLast) return;
    // The runner tries the other files in another process, where this one does not disturb them.
    if (leftOpen.length > 0) process.exit();
    process.off('uncaughtExceptionMonitor', reportError).off('unhandledRejection', reportError);
    restoreProcess();
  }
}

/** Resolves when the tests of the file have ended. */
async function runFile(file: string): Promise<void> {
  for (const hook of followers) enable.call(hook);
  const imported = new Promise<void>((resolve) => {
    void describe(file, async () => {
      try {
        await import(pathToFileURL(file).href);
      } finally {
        resolve();
      }
    });
  });
  // One that follows a file in the same process runs when all before it have.
  const ended = new Promise<void>((resolve) => void test(endOfFileName, () => resolve()));
  await imported;
  if (switchesOff) for (const hook of followers) hook.disable();
  await ended;
  // A rejection that nobody handles shows at the end of the turn.
  await nextTurn();
}

/** What keeps this process alive and did not before, once it has had time to go. */
async function whatIsLeftOpen(before: readonly string[]): Promise<readonly string[]> {
  for (let waitedMs = 0; ; waitedMs += lookEveryMs) {
    const left = [...process.getActiveResourcesInfo()];
    for (const name of before) if (left.includes(name)) left.splice(left.indexOf(name), 1);
    if (left.length === 0 || waitedMs >= leftOpenMsMax) return left;
    await sleep(lookEveryMs);
  }
}

/** Gives the next file the environment, folder and exit status that a new process has. */
function restoreProcess(): void {
  process.exitCode = undefined;
  if (process.cwd() !== directory) process.chdir(directory);
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  for (const [name, value] of Object.entries(environment)) process.env[name] = value;
}

function write(line: ReportLine): void {
  appendFileSync(reportPath ?? '', `${JSON.stringify(line)}\n`);
}

/** False where Node keeps callbacks elsewhere: then the hook stays, and tests are only slower. */
function isHookOfTests(hook: AsyncHook): boolean {
  return Object.getOwnPropertySymbols(hook).some((name) => {
    const callback: unknown = Reflect.get(hook, name);
    return typeof callback === 'function' && String(callback).includes(signOfHook);
  });
}
