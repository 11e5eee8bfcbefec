/** Builds and tests the C library; `--help` says how. The last line printed counts single tests. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { installLibrary } from '../src/platform/library-install.ts';
import { packedStore, writeStoreProgram } from '../src/platform/store-program.ts';
import { cachedLibrary } from './capi-build.ts';
import { bundledStore } from './capi-bundle.ts';
import { fuzz, fuzzTargets, fuzzToolchain } from './capi-fuzz.ts';
import { findPlants } from './capi-plants.ts';
import type { Flavour } from './capi-compile.ts';
import { countsOfMissing, installCommandOf, tryInstall } from './debian.ts';
import { projectRoot } from './project.ts';
import { concurrencyOfTests, formatCounts, runTests } from './test-run.ts';
import type { TestCounts } from './test-run.ts';
import { tryInstallZig } from './zig.ts';

const help = `npm run capi                             tests the C library: each lane a compiler and its sanitizers
npm run capi -- fuzz [TARGET...] [--seconds N]
                                         tries made-up inputs on its parsers, each for so long (60)
npm run capi -- plants [TARGET...] [--seconds N]
                                         puts faults into them that the same inputs must find
npm run capi -- build [--prefix FOLDER]  builds it with cc, or what CC names, and installs it in the
                                         folder (default: build/capi/install)
npm run capi -- program                  writes the program of its store for a package that is packed
`;

/** What runs in every lane. */
const common: readonly string[] = [
  ...['abi', 'cut', 'embedded', 'faults', 'filling', 'frames'],
  ...['holes', 'library', 'odd-settings', 'rebuilt', 'refusals', 'rings', 'tokens'],
];

/**
 * Lanes of the tests: who compiles, with which sanitizers, and which files of test/capi. Each compiler and
 * each sanitizer is in one of them; a lane takes minutes. Kernels have no threads.
 */
const lanes: readonly (readonly [compiler: string, flavour: Flavour, tests: readonly string[]])[] =
  [
    ['gcc', 'thread', common],
    ['clang', 'address', [...common, 'kernels']],
  ];

/** Seconds that each parser is fuzzed in the lane. */
const laneFuzzSeconds = 8;
/** Most are found within one; a machine that does other things besides takes longer. */
const lanePlantSeconds = 60;

/** What has the compilers, their sanitizers, and the programs by which others build with the library. */
const packages: readonly string[] = [
  ...['gcc', 'g++', 'libc6-dev', 'clang', 'libclang-rt-dev'],
  ...['cmake', 'make', 'pkg-config', 'valgrind'],
  ...['gcc-aarch64-linux-gnu', 'libc6-dev-arm64-cross', 'qemu-user'],
];

/** Programs that test/capi/library.test.ts, valgrind.test.ts and other-systems.test.ts use. */
const builders: readonly string[] = [
  ...['g++', 'clang++', 'cmake', 'make', 'pkg-config', 'valgrind'],
  ...['aarch64-linux-gnu-gcc', 'qemu-aarch64'],
];

const fuzzedFunction =
  'int LLVMFuzzerTestOneInput(const unsigned char *data, __SIZE_TYPE__ size);\n' +
  'int LLVMFuzzerTestOneInput(const unsigned char *data, __SIZE_TYPE__ size) {\n' +
  '  return size == 0 || data == 0 ? 0 : 0;\n}\n';

/** Tests under sanitizers take several times as long. */
const fileTimeoutMs = 900_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      seconds: { type: 'string', default: '60' },
      prefix: { type: 'string', default: join(projectRoot(), 'build/capi/install') },
    },
  });
  const [command = 'test', ...rest] = positionals;
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  if (command === 'build') return build(resolve(values.prefix));
  if (command === 'program') return program();
  if (command === 'test') return test();
  if (command === 'fuzz') return fuzzFor(rest, Number(values.seconds), fuzz);
  if (command === 'plants') return fuzzFor(rest, Number(values.seconds), findPlants);
  console.error(`capi: unknown command ${command}; there are: build, fuzz, plants, program, test`);
  return 2;
}

/** What else is in the folder stays there. */
async function build(prefix: string): Promise<number> {
  const compiler = process.env['CC'] || 'cc';
  const library = await cachedLibrary({ compiler, flavour: 'plain' });
  installLibrary(library.prefix, prefix);
  console.log(`capi: ${prefix}/lib, ${prefix}/include`);
  return 0;
}

/** Writes the store program where a package brings it, from which `wombatkv build-native` builds the library. */
async function program(): Promise<number> {
  rmSync(packedStore, { recursive: true, force: true });
  writeStoreProgram(packedStore, await bundledStore());
  return 0;
}

/** Fuzzes the targets that are named, or all of them, by what is given. */
async function fuzzFor(
  names: readonly string[],
  seconds: number,
  by: typeof fuzz,
): Promise<number> {
  const unknown = names.find((name) => !fuzzTargets.includes(name));
  if (unknown !== undefined || !Number.isSafeInteger(seconds) || seconds < 1) {
    const wrong = unknown ?? 'that number of seconds';
    console.error(`capi: there is no ${wrong}; targets are: ${fuzzTargets.join(', ')}`);
    return 2;
  }
  return report(await by(names.length === 0 ? fuzzTargets : names, seconds));
}

function report(counts: TestCounts): number {
  console.log(formatCounts(counts));
  return counts.failed === 0 ? 0 : 1;
}

/** Runs every lane, and adds up what they counted. */
async function test(): Promise<number> {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const canBuildAll = lanes.every(([compiler, flavour]) => canBuild(compiler, flavour));
  if (!canBuildAll || !builders.every(isThere)) tryInstall(packages);
  tryInstallZig();
  const add = (counts: TestCounts): void => {
    sum.passed += counts.passed;
    sum.failed += counts.failed;
    sum.skipped += counts.skipped;
  };
  for (const [compiler, flavour, tests] of lanes) {
    console.log(`\n== C library by ${compiler}, ${flavour} sanitizer`);
    add(canBuild(compiler, flavour) ? await runLane(compiler, flavour, tests) : notBuilt());
  }
  console.log('\n== C library by gcc, under valgrind');
  add(isThere('valgrind') ? await runLane('gcc', 'plain', ['valgrind']) : notBuilt());
  console.log('\n== C library for other systems');
  add(await runLane('gcc', 'plain', ['other-systems']));
  console.log('\n== parsers of the C library by clang, fuzzed');
  const { compiler, flavour } = fuzzToolchain;
  const canFuzz = canBuild(compiler, flavour);
  add(canFuzz ? await fuzz(fuzzTargets, laneFuzzSeconds) : notBuilt());
  console.log('\n== the same with faults that were planted, each of which must be found');
  add(canFuzz ? await findPlants(fuzzTargets, lanePlantSeconds) : notBuilt());
  return report(sum);
}

function isThere(program: string): boolean {
  return spawnSync(program, ['--version']).status === 0;
}

/** Whether the compiler is there, with its sanitizer: some packages have one without the other. */
function canBuild(compiler: string, flavour: Flavour): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'wombatkv-capi-'));
  try {
    const args = ['-x', 'c', '-', `-fsanitize=${flavour}`, '-o', join(folder, 'empty')];
    // The fuzzer has a main function of its own.
    const start = flavour === 'fuzzer' ? fuzzedFunction : 'int main(void) { return 0; }\n';
    return spawnSync(compiler, args, { input: start }).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function notBuilt(): TestCounts {
  return countsOfMissing('not built here', installCommandOf(packages));
}

function runLane(
  compiler: string,
  flavour: Flavour,
  names: readonly string[],
): ReturnType<typeof runTests> {
  // The test files read these (test/capi/c-program.ts).
  process.env['CC'] = compiler;
  process.env['WOMBATKV_TEST_C_FLAVOUR'] = flavour;
  return runTests({
    directory: join(projectRoot(), 'dist'),
    speed: 'quick',
    filters: names.map((name) => `test/capi/${name}`),
    exceptions: [],
    concurrency: concurrencyOfTests(),
    fileTimeoutMs,
    mustRunAll: process.env['CI'] === 'true',
    signal: new AbortController().signal,
    print: (line) => console.log(line),
  });
}
