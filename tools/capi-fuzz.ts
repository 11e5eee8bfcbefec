import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { librarySources, systemFlags } from './capi-build.ts';
import { compile, flagsOf, run, warningFlags } from './capi-compile.ts';
import type { Toolchain } from './capi-compile.ts';
import { projectRoot } from './project.ts';
import type { TestCounts } from './test-run.ts';

/** Each is a file in `capi/test/fuzz`; seeds are folders in `test/golden`. */
const targets: readonly { readonly name: string; readonly seeds: readonly string[] }[] = [
  { name: 'messages', seeds: ['protocol-v1'] },
  { name: 'http', seeds: ['http-v1', 'http-v2'] },
  { name: 'streams', seeds: ['protocol-v1', 'http-v1', 'http-v2'] },
  { name: 'index', seeds: [] },
  { name: 'rings', seeds: [] },
  { name: 'known', seeds: [] },
  { name: 'texts', seeds: [] },
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

/**
 * Gives each of the targets so many seconds, two processors having two at once. What is found stays in
 * `build/capi/fuzz/<target>`: inputs that reach new code in `corpus`, with which the next run begins,
 * and those at which the target failed, which is said and counted.
 */
export async function fuzz(names: readonly string[], seconds: number): Promise<TestCounts> {
  const wanted = targets.filter(({ name }) => names.includes(name));
  const objects = await compile(fuzzToolchain, librarySources());
  const waiting = wanted.values();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const lane = async (): Promise<void> => {
    for (const target of waiting) {
      const isSound = await runTarget(target, await link(target.name, objects), seconds);
      counts[isSound ? 'passed' : 'failed'] += 1;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return counts;
}

async function link(name: string, library: readonly string[]): Promise<string> {
  const flags = [...warningFlags, ...systemFlags];
  const file = `capi/test/fuzz/${name}.c`;
  const objects = await compile(fuzzToolchain, [{ file, flags }]);
  const folder = join(projectRoot(), 'build/capi/fuzz', name);
  mkdirSync(join(folder, 'corpus'), { recursive: true });
  const program = join(folder, 'fuzz');
  const fresh = `${program}.${process.pid}`;
  const all = [...flagsOf(fuzzToolchain), '-fsanitize=fuzzer', ...objects, ...library];
  await run(fuzzToolchain.compiler, [...all, '-o', fresh]);
  renameSync(fresh, program);
  return program;
}

/** False when the target failed at an input. */
async function runTarget(
  { name, seeds }: (typeof targets)[number],
  program: string,
  seconds: number,
): Promise<boolean> {
  const folder = join(projectRoot(), 'build/capi/fuzz', name);
  const golden = seeds.map((one) => join(projectRoot(), 'test/golden', one));
  const args = [`-max_total_time=${seconds}`, '-print_final_stats=1', ...inputLimits];
  args.push(`-artifact_prefix=${folder}/`, join(folder, 'corpus'), ...golden.filter(existsSync));
  const { status, output } = await runFuzzer(program, args, seconds * 1000 + endMs);
  const executed = /stat::number_of_executed_units: (\d+)/.exec(output)?.[1];
  // One that was hardly run shows nothing.
  if (status === 0 && Number(executed) > 1000) {
    console.log(`fuzz ${name}: ${executed} inputs in ${seconds} s, nothing found`);
    return true;
  }
  console.log(`fuzz ${name}: ended with ${status} after ${executed ?? 'no'} inputs\n${output}`);
  return false;
}

function runFuzzer(
  program: string,
  args: readonly string[],
  timeout: number,
): Promise<{ readonly status: number | NodeJS.Signals | null; readonly output: string }> {
  return new Promise((resolve, reject) => {
    // Leaks are looked for at the end; handles of the library's own are kept for the whole process.
    const child = spawn(program, args, { timeout, killSignal: 'SIGKILL' });
    let output = '';
    const take = (part: Buffer): void => {
      output = (output + part.toString()).slice(-shownCharactersMax);
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ status: code ?? signal, output }));
  });
}
