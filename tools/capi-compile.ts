import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { warningFlags as commonWarnings } from '../src/platform/native-build.ts';
import { projectRoot } from './project.ts';

/** How the C code is compiled. */
export type Flavour = 'plain' | 'address' | 'thread' | 'fuzzer';

export interface Toolchain {
  readonly compiler: string;
  readonly flavour: Flavour;
  /** The machine that it compiles for, in the compiler's words; this one when absent. */
  readonly target?: string;
}

/** A C file, from the project's root, and the flags that it needs besides. */
export interface CSource {
  readonly file: string;
  readonly flags: readonly string[];
  /** Compiled without sanitizers, whatever the flavour. */
  readonly isPlain?: boolean;
}

/** What every file of the library must pass without a word, which is an error here. */
export const warningFlags: readonly string[] = [...commonWarnings, '-Wcast-qual', '-Werror'];

const flavourFlags: Readonly<Record<Flavour, readonly string[]>> = {
  plain: [],
  // A report that is only printed would let a test pass.
  address: ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
  fuzzer: [
    '-fsanitize=fuzzer-no-link,address,undefined',
    ...['-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
  ],
  thread: ['-fsanitize=thread', '-fno-omit-frame-pointer'],
};

/** A file takes a second or two; a compiler that takes minutes hangs. */
const compilerMs = 120_000;
/** What a failed compiler says is shown up to here. */
const outputCharactersMax = 16 * 1024;

/** Flags of the compiler and the linker for the flavour. */
export function flagsOf({ flavour, target }: Toolchain): readonly string[] {
  const machine = target === undefined ? [] : ['-target', target];
  return [...machine, '-g', '-pthread', ...flavourFlags[flavour]];
}

/** The C files of a folder below `capi/`. */
export function sourcesIn(folder: string, flags: readonly string[]): readonly CSource[] {
  return readdirSync(join(projectRoot(), 'capi', folder))
    .filter((name) => name.endsWith('.c'))
    .sort()
    .map((name) => ({ file: `capi/${folder}/${name}`, flags }));
}

/**
 * Compiles the files side by side; gives the paths of the objects. An object is named by a digest of
 * all that it is made of, so what is there already is right.
 *
 * @throws Error with what the compiler said.
 */
export async function compile(
  toolchain: Toolchain,
  sources: readonly CSource[],
): Promise<readonly string[]> {
  const root = projectRoot();
  const folder = join(root, 'build', 'capi', 'objects');
  mkdirSync(folder, { recursive: true });
  const common = digestOfHeaders(root);
  const jobs = sources.map(({ file, flags, isPlain = false }) => {
    const own = flagsOf(isPlain ? { ...toolchain, flavour: 'plain' } : toolchain);
    const args = ['-std=c11', '-O2', '-fPIC', '-fvisibility=hidden', ...own, ...flags];
    const hash = createHash('sha256')
      .update(common)
      .update(readFileSync(join(root, file)));
    hash.update(JSON.stringify([toolchain.compiler, file, args]));
    return { file, args, object: join(folder, `${hash.digest('hex').slice(0, 32)}.o`) };
  });
  const waiting = jobs.values();
  const lane = async (): Promise<void> => {
    for (const { file, args, object } of waiting) {
      if (existsSync(object)) continue;
      const unfinished = `${object}.${process.pid}`;
      await run(toolchain.compiler, [...args, '-c', file, '-o', unfinished]);
      renameSync(unfinished, object);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return jobs.map(({ object }) => object);
}

/** Any header may be seen by any file: there are few, and they change seldom. */
function digestOfHeaders(root: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(join(root, 'capi'), { recursive: true, encoding: 'utf8' });
  for (const file of files.filter((name) => name.endsWith('.h')).sort()) {
    hash.update(`${file}\n`).update(readFileSync(join(root, 'capi', file)));
  }
  return hash.digest('hex');
}

/**
 * Runs a command in the project's root; gives what it printed.
 *
 * @throws Error with what it said when it fails or takes minutes.
 */
export function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: projectRoot(),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: compilerMs,
      killSignal: 'SIGKILL',
    });
    let output = '';
    const take = (part: Buffer): void => {
      if (output.length < outputCharactersMax) output += part.toString();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', (cause) => {
      reject(new Error(`${command} cannot be started: ${cause.message}`, { cause }));
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new Error(`${command} ${args.join(' ')}: ${signal ?? code}\n${output.trim()}`));
    });
  });
}
