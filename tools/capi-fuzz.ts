import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemFlags } from '../src/platform/library-build.ts';
import { librarySources } from './capi-build.ts';
import { compile, flagsOf, run, warningFlags } from './capi-compile.ts';
import type { Toolchain } from './capi-compile.ts';
import { projectRoot } from './project.ts';
import type { TestCounts } from './test-run.ts';

/** A file in `capi/test/fuzz`. */
export interface FuzzTarget {
  readonly name: string;
  /** Beginnings of the names of folders in `test/golden` whose files are seeds; it may have a folder of its own, too. */
  readonly golden: readonly string[];
  /** A file in `capi/test/fuzz/dictionaries`. */
  readonly dictionary?: string;
  /** How near values come to those that they are compared with counts as new, too: slower, and it finds edges. */
  readonly followsValues?: boolean;
}

const targets: readonly FuzzTarget[] = [
  { name: 'messages', golden: ['protocol-v'] },
  { name: 'http', golden: ['http-v'], dictionary: 'http.dict' },
  {
    name: 'streams',
    golden: ['protocol-v', 'http-v'],
    dictionary: 'http.dict',
  },
  { name: 'index', golden: [], followsValues: true },
  { name: 'rings', golden: [] },
  { name: 'known', golden: [] },
  { name: 'texts', golden: [], dictionary: 'texts.dict' },
];

export const fuzzTargets: readonly string[] = targets.map(({ name }) => name);

/** What is known to clang alone; its sanitizers see what the parsers do wrong. */
export const fuzzToolchain: Toolchain = { compiler: 'clang', flavour: 'fuzzer' };

/** Inputs are short, and one that takes seconds hangs. */
const inputLimits = ['-max_len=8192', '-timeout=10', '-rss_limit_mb=1024'];
/** What a target that found something said last. */
const shownCharactersMax = 8 * 1024;
/** Beyond its time a target that does not end is ended. */
const endMs = 60_000;

/** What a run of a target came to. */
export interface FuzzRun {
  readonly status: number | NodeJS.Signals | null;
  /** Undefined when it did not say. */
  readonly inputs: number | undefined;
  /** Places in the code that inputs reached, as the compiler counts them. */
  readonly edges: number | undefined;
  readonly output: string;
}

export function fuzzTarget(name: string): FuzzTarget {
  const found = targets.find((target) => target.name === name);
  if (found === undefined) throw new Error(`there is no fuzz target ${name}`);
  return found;
}

/**
 * Gives each of the targets so many seconds, two processors having two at once. What is found stays in
 * `build/capi/fuzz/<target>`: inputs that reach new code in `corpus`, with which the next run begins,
 * and those at which the target failed, which is said and counted.
 */
export async function fuzz(names: readonly string[], seconds: number): Promise<TestCounts> {
  const wanted = targets.filter(({ name }) => names.includes(name));
  const objects = await compile(fuzzToolchain, librarySources());
  return sideBySide(wanted, async (target) => {
    const folder = join(projectRoot(), 'build/capi/fuzz', target.name);
    const program = await linkTarget(target, objects, folder);
    const { status, inputs, edges, output } = await runTarget(target, program, seconds, folder);
    // One that was hardly run shows nothing.
    if (status === 0 && inputs !== undefined && inputs > 1000) {
      const reached = edges === undefined ? '' : `, ${edges} edges reached`;
      console.log(`fuzz ${target.name}: ${inputs} inputs in ${seconds} s${reached}, nothing found`);
      return true;
    }
    console.log(`fuzz ${target.name}: ended with ${status} after ${inputs ?? 'no'} inputs`);
    console.log(output);
    return false;
  });
}

/** Does each, as many at once as there are processors, and counts those that are well. */
export async function sideBySide<One>(
  all: readonly One[],
  isWell: (one: One) => Promise<boolean>,
): Promise<TestCounts> {
  const waiting = all.values();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const lane = async (): Promise<void> => {
    for (const one of waiting) counts[(await isWell(one)) ? 'passed' : 'failed'] += 1;
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return counts;
}

/** Links the target with the objects of the library, in the folder; gives the program. */
export async function linkTarget(
  { name }: FuzzTarget,
  library: readonly string[],
  folder: string,
): Promise<string> {
  const flags = [...warningFlags, ...systemFlags];
  const file = `capi/test/fuzz/${name}.c`;
  const objects = await compile(fuzzToolchain, [{ file, flags }]);
  mkdirSync(folder, { recursive: true });
  const program = join(folder, 'fuzz');
  const fresh = `${program}.${process.pid}`;
  const all = [...flagsOf(fuzzToolchain), '-fsanitize=fuzzer', ...objects, ...library];
  await run(fuzzToolchain.compiler, [...all, '-o', fresh]);
  renameSync(fresh, program);
  return program;
}

/** Runs the target from its seeds, and from the corpus in the folder where there is one, which grows. */
export async function runTarget(
  { name, golden, dictionary, followsValues = false }: FuzzTarget,
  program: string,
  seconds: number,
  folder: string,
): Promise<FuzzRun> {
  const root = projectRoot();
  const files = readdirSync(join(root, 'test/golden'));
  const seeds = golden.flatMap((start) => files.filter((file) => file.startsWith(start)));
  const sources = join(root, 'capi/test/fuzz');
  // What is new is written to the first folder.
  const corpus = join(folder, 'corpus');
  mkdirSync(corpus, { recursive: true });
  const folders = [
    corpus,
    ...seeds.map((one) => join(root, 'test/golden', one)),
    join(sources, 'seeds', name),
  ];
  const args = [`-max_total_time=${seconds}`, '-print_final_stats=1'];
  if (dictionary !== undefined) args.push(`-dict=${join(sources, 'dictionaries', dictionary)}`);
  if (followsValues) args.push('-use_value_profile=1');
  args.push(...inputLimits, `-artifact_prefix=${folder}/`, ...folders.filter(existsSync));
  const { status, output } = await runFuzzer(program, args, seconds * 1000 + endMs);
  const inputs = /stat::number_of_executed_units: (\d+)/.exec(output)?.[1];
  const edges = /DONE\s+cov: (\d+)/.exec(output)?.[1];
  const numberOf = (digits: string | undefined): number | undefined =>
    digits === undefined ? undefined : Number(digits);
  return { status, inputs: numberOf(inputs), edges: numberOf(edges), output };
}

function runFuzzer(
  program: string,
  args: readonly string[],
  timeout: number,
): Promise<{ readonly status: number | NodeJS.Signals | null; readonly output: string }> {
  // Files of a target lie in memory where there is some, and are gone with it when it fails.
  const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const directory = mkdtempSync(join(memory, 'wombatkv-fuzz-'));
  return new Promise((resolve, reject) => {
    // Leaks are looked for at the end; handles of the library's own are kept for the whole process.
    const env = { ...process.env, TMPDIR: directory };
    const child = spawn(program, args, { timeout, killSignal: 'SIGKILL', env });
    let output = '';
    const take = (part: Buffer): void => {
      output = (output + part.toString()).slice(-shownCharactersMax);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', (error) => {
      rmSync(directory, { recursive: true });
      reject(error);
    });
    child.once('close', (code, signal) => {
      rmSync(directory, { recursive: true });
      resolve({ status: code ?? signal, output });
    });
  });
}
