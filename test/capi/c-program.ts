import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { systemFlags } from '../../src/platform/library-build.ts';
import { cachedLibrary, librarySources } from '../../tools/capi-build.ts';
import type { BuiltLibrary } from '../../tools/capi-build.ts';
import { compile, flagsOf, run, sourcesIn, warningFlags } from '../../tools/capi-compile.ts';
import type { Flavour, Toolchain } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { withoutCompiler } from '../support/c-compiler.ts';

/** What compiles: `CC` and the flavour that a lane of `npm run capi` asks for. */
export function testToolchain(): Toolchain {
  const flavour = (process.env['WOMBATKV_TEST_C_FLAVOUR'] || 'plain') as Flavour;
  return { compiler: process.env['CC'] || 'cc', flavour };
}

/** For the option `skip` of a test. */
export function withoutTestCompiler(): string | false {
  return withoutCompiler(testToolchain().compiler);
}

/** Builds are slow to fail, too: each is tried once in a process. */
const builds = new Map<string, Promise<string>>();

function once(name: string, build: () => Promise<string>): Promise<string> {
  const known = builds.get(name) ?? build();
  builds.set(name, known);
  return known;
}

/** The test program of the library (capi/test/library), linked to it as an engine is. */
export function buildAbiTest(): Promise<string> {
  return once('abi-test', linkAbiTest);
}

async function linkAbiTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const objects = await compile(toolchain, sourcesIn('test/library', flags));
  return linkProgram(library, 'abi-test', objects, sharedFlags(library));
}

/** The test program of the parsers (capi/test/frames), which has the library's own files in it. */
export function buildFramesTest(): Promise<string> {
  return once('frames-test', linkFramesTest);
}

async function linkFramesTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const sources = [...librarySources(), ...sourcesIn('test/frames', flags)];
  return linkProgram(library, 'frames-test', await compile(toolchain, sources), []);
}

/** The test program of an index that is built anew all the time (capi/test/rebuilds), which has the index's own code. */
export function buildRebuildsTest(): Promise<string> {
  return once('rebuilds-test', linkRebuildsTest);
}

async function linkRebuildsTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const own = librarySources().filter(({ file }) => file.endsWith('/shared-index.c'));
  const objects = await compile(toolchain, [...own, ...sourcesIn('test/rebuilds', flags)]);
  return linkProgram(library, 'rebuilds-test', objects, []);
}

/** The program that kills clients and daemons (capi/test/kills), linked to the library as an engine is. */
export function buildKillsTest(): Promise<string> {
  return once('kills-test', linkKillsTest);
}

async function linkKillsTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const objects = await compile(toolchain, sourcesIn('test/kills', flags));
  return linkProgram(library, 'kills-test', objects, sharedFlags(library));
}

/** The test program of a client that was stopped (capi/test/holes), which has the library's own files in it. */
export function buildHolesTest(): Promise<string> {
  return once('holes-test', linkHolesTest);
}

async function linkHolesTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const sources = [...librarySources(), ...sourcesIn('test/holes', flags)];
  return linkProgram(library, 'holes-test', await compile(toolchain, sources), []);
}

/** The test program of the file of known keys (capi/test/known), which has its own code. */
export function buildKnownFileTest(): Promise<string> {
  return once('known-file-test', linkKnownFileTest);
}

async function linkKnownFileTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const files = ['/shared-index.c', '/known-file.c', 'src/known.c'];
  const own = librarySources().filter(({ file }) => files.some((name) => file.endsWith(name)));
  assert.equal(own.length, files.length);
  const objects = await compile(toolchain, [...own, ...sourcesIn('test/known', flags)]);
  return linkProgram(library, 'known-file-test', objects, []);
}

/** The test program of memory for payloads (capi/test/memory), which has its own code. */
export function buildPayloadMemoryTest(): Promise<string> {
  return once('payload-memory-test', linkPayloadMemoryTest);
}

async function linkPayloadMemoryTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const flags = [...warningFlags, ...systemFlags];
  const files = ['/payload-memory', '/borrow', '/clock', '/huge-pages', '/shared-room'];
  const own = librarySources().filter(({ file }) =>
    files.some((name) => file.endsWith(`${name}.c`)),
  );
  assert.equal(own.length, files.length);
  const objects = await compile(toolchain, [...own, ...sourcesIn('test/memory', flags)]);
  return linkProgram(library, 'payload-memory-test', objects, ['-pthread']);
}

/**
 * The test program of memory that is refused (capi/test/refusals). It has the library's own files, in which its functions
 * stand for those of the system.
 */
export function buildRefusalsTest(): Promise<string> {
  return once('refusals-test', linkRefusalsTest);
}

async function linkRefusalsTest(): Promise<string> {
  const toolchain = testToolchain();
  const library = await cachedLibrary(toolchain);
  const functions = ['malloc', 'calloc', 'realloc', 'posix_memalign', 'mmap'];
  const instead = functions.map((name) => `-D${name}=wmbt_refusing_${name}`);
  const own = librarySources().map((source) =>
    source.file.startsWith('capi/src/')
      ? { ...source, flags: [...source.flags, ...instead] }
      : source,
  );
  const test = sourcesIn('test/refusals', [...warningFlags, ...systemFlags]);
  const objects = await compile(toolchain, [...own, ...test]);
  return linkProgram(library, 'refusals-test', objects, []);
}

/** Flags by which a program finds the shared library, at link time and when it runs. */
export function sharedFlags({ prefix }: BuiltLibrary): readonly string[] {
  return [`-L${prefix}/lib`, '-lwombatkv', `-Wl,-rpath,${prefix}/lib`];
}

/** Links a program once for the same objects and flags. */
export async function linkProgram(
  { toolchain }: BuiltLibrary,
  name: string,
  objects: readonly string[],
  flags: readonly string[],
): Promise<string> {
  const args = [...flagsOf(toolchain), ...objects, ...flags];
  const digest = createHash('sha256')
    .update(JSON.stringify([toolchain, args]))
    .digest('hex');
  const folder = join(projectRoot(), 'build/capi/programs');
  const program = join(folder, `${name}-${digest.slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  await run(toolchain.compiler, [...args, '-o', `${program}.${process.pid}`]);
  renameSync(`${program}.${process.pid}`, program);
  return program;
}

/** Runs a program under valgrind, where a fault or a lost piece of memory is an exit status of its own. */
export function underValgrind(program: string): readonly [program: string, ...args: string[]] {
  const words = ['--quiet', '--error-exitcode=99', '--leak-check=full', '--trace-children=no'];
  return ['valgrind', ...words, '--errors-for-leak-kinds=definite', '--num-callers=30', program];
}

/** How a program ended, and what it printed. */
export interface ProgramEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly lines: readonly string[];
  readonly notes: string;
}

export interface ProgramOptions {
  readonly environment: Readonly<Record<string, string>>;
  /** Called for each line; a promise that it gives is awaited, then the program is told to go on. */
  readonly onLine?: (line: string) => Promise<void> | undefined;
  readonly timeoutMs?: number;
}

/** A group takes some ten seconds; under a sanitizer, on a busy machine, ten times as long. */
const programMsMax = 300_000;

/** Runs a program with nothing of this process's own settings. */
export function runProgram(
  program: string,
  args: readonly string[],
  { environment, onLine, timeoutMs = programMsMax }: ProgramOptions,
): Promise<ProgramEnd> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      // With a path of the system a sanitizer can name lines of a report.
      env: { PATH: process.env['PATH'] ?? '', ...environment },
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const lines: string[] = [];
    let [rest, notes] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) {
        lines.push(line);
        onLine?.(line)?.then(
          () => child.stdin.write('go on\n'),
          (error: unknown) => {
            child.kill('SIGKILL');
            reject(error instanceof Error ? error : new Error(String(error)));
          },
        );
      }
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (notes += text));
    child.stdin.on('error', () => undefined);
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal, lines, notes }));
  });
}

/** Every `ok` and `not ok` of the program as a test of its own; none may be missing. */
export async function reportTests(context: TestContext, end: ProgramEnd): Promise<void> {
  const how = end.signal ?? `status ${end.status}`;
  const shown = `${basename(context.name)}: ${how}\n${end.lines.join('\n')}\n${end.notes}`;
  let count = 0;
  let faults: string[] = [];
  for (const line of end.lines) {
    const [, isBad, sentence] = /^(not )?ok (.*)$/.exec(line) ?? [];
    if (line.startsWith('#')) faults.push(line);
    if (sentence === undefined) continue;
    count += 1;
    const found = faults.join('\n');
    faults = [];
    await context.test(sentence, () => assert.ok(isBad === undefined, found));
  }
  assert.ok(end.lines.includes(`end ${count}`) && count > 0, `the program broke off: ${shown}`);
  assert.equal(end.status, end.lines.some((line) => line.startsWith('not ok')) ? 1 : 0, shown);
}
