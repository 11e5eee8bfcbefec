import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { systemErrorCode } from '../base/errors.ts';
import { nativeModulePath, packageRoot } from './native.ts';

/** A file that is compiled, from the package's folder, and the flags that it needs besides. */
export interface NativeSource {
  readonly file: string;
  readonly flags: readonly string[];
}

/** What every file of ours must pass without a word. */
export const warningFlags = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wconversion'];

/** A file of C takes a second or two; a compiler that takes minutes hangs. */
const compilerMs = 120_000;
/** What a failed compiler says is shown up to here. */
const outputCharactersMax = 16 * 1024;

const blake3 = 'capi/third_party/blake3';
/** Each of these is used only where the processor has the instructions. */
const blake3OnX86: readonly (readonly [string, ...string[]])[] = [
  ['sse2', '-msse2'],
  ['sse41', '-msse4.1'],
  ['avx2', '-mavx2'],
  ['avx512', '-mavx512f', '-mavx512vl'],
];

/** The official BLAKE3, for a processor as `process.arch` names it. */
export function blake3Sources(arch: string = process.arch): readonly NativeSource[] {
  const simd: readonly (readonly [string, ...string[]])[] =
    arch === 'x64' ? blake3OnX86 : arch === 'arm64' ? [['neon']] : [];
  // Nobody but this module sees its functions.
  const hidden = ['-DBLAKE3_API=', '-DBLAKE3_PRIVATE='];
  return [
    ...['blake3', 'blake3_portable', 'blake3_dispatch'].map((name) => ({ name, flags: hidden })),
    ...simd.map(([name, ...flags]) => ({ name: `blake3_${name}`, flags: [...hidden, ...flags] })),
  ].map(({ name, flags }) => ({ file: `${blake3}/${name}.c`, flags }));
}

/** The C files of a folder below `capi/`. */
export function sourcesIn(folder: string): readonly NativeSource[] {
  return readdirSync(join(packageRoot, 'capi', folder))
    .filter((name) => name.endsWith('.c'))
    .sort()
    .map((name) => ({ file: `capi/${folder}/${name}`, flags: warningFlags }));
}

/** What is built: the compiler, flags of every file, the files, flags of the linker, the result. */
export interface Build {
  readonly compiler: string;
  readonly flags: readonly string[];
  readonly sources: readonly NativeSource[];
  readonly linkerFlags: readonly string[];
  readonly output: string;
}

/** What is compiled: the compiler, flags of every file, the files. */
export type Compilation = Pick<Build, 'compiler' | 'flags' | 'sources'>;

/**
 * Compiles the files side by side; gives the paths of the objects, which lie in the folder.
 *
 * @throws Error with what the compiler said.
 */
export async function compileObjects(
  { compiler, flags, sources }: Compilation,
  folder: string,
): Promise<readonly string[]> {
  const objects = sources.map((_, index) => join(folder, `${index}.o`));
  const waiting = sources.entries();
  const lane = async (): Promise<void> => {
    for (const [index, { file, flags: own }] of waiting) {
      const args = ['-std=c11', '-O2', ...flags, ...own, '-c', file, '-o', objects[index]];
      await runInPackage(compiler, args);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  return objects;
}

/**
 * Compiles and links. The result takes its name when it is whole: processes that use an older one
 * keep it.
 *
 * @throws Error with what the compiler said.
 */
export async function buildWithCompiler(build: Build): Promise<void> {
  const folder = `${build.output}.objects-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    const objects = await compileObjects(build, folder);
    const whole = join(folder, 'whole');
    const words = [...build.flags, ...objects, ...build.linkerFlags, '-o', whole];
    await runInPackage(build.compiler, words);
    renameSync(whole, build.output);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The module of this platform, as {@link buildWithCompiler} is given it. */
export function nativeModuleBuild(compiler: string): Build {
  const headers = join(
    dirname(createRequire(import.meta.url).resolve('node-api-headers/package.json')),
    'include',
  );
  // Node itself has the functions of Node-API: they are found when the module is loaded.
  // Older versions of glibc have dlopen in a library of its own.
  const shared =
    process.platform === 'darwin'
      ? ['-bundle', '-undefined', 'dynamic_lookup']
      : ['-shared', '-ldl'];
  return {
    compiler,
    // A function that nobody declared would be missed by whoever calls it first.
    flags: ['-fPIC', '-fvisibility=hidden', '-pthread', '-Werror=implicit-function-declaration'],
    sources: [
      ...sourcesIn('src'),
      ...sourcesIn('src/shared'),
      ...sourcesIn('node').map(({ file, flags }) => ({
        file,
        flags: [...flags, '-isystem', headers],
      })),
      ...blake3Sources(),
    ],
    linkerFlags: shared,
    output: nativeModulePath,
  };
}

/** Builds the module of this platform, for the package when no other path is given. Resolves to its path. */
export async function buildNativeModule(
  compiler: string,
  output = nativeModulePath,
): Promise<string> {
  mkdirSync(dirname(output), { recursive: true });
  await buildWithCompiler({ ...nativeModuleBuild(compiler), output });
  return output;
}

/**
 * Runs a command in the package's folder.
 *
 * @throws Error with what it said when it fails or takes minutes, and with where it is to be had when it is missing.
 */
export function runInPackage(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: packageRoot,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Node's own would keep the process for all that time where there is no such program.
    const timer = setTimeout(() => child.kill('SIGKILL'), compilerMs);
    let output = '';
    const take = (part: Buffer): void => {
      if (output.length < outputCharactersMax) output += part.toString();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', (cause) => {
      clearTimeout(timer);
      const isMissing = systemErrorCode(cause) === 'ENOENT';
      const why = isMissing ? missing(command) : `${command} cannot be started: ${cause.message}`;
      reject(new Error(why, { cause }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve();
      else reject(new Error(`${command} failed (${signal ?? code}):\n${output.trim()}`));
    });
  });
}

/** Who installs a compiler has these, too. */
const withCompilers: readonly string[] = ['ar', 'objcopy'];

function missing(command: string): string {
  if (withCompilers.includes(command)) {
    return `there is no program ${command}; it comes with binutils`;
  }
  return (
    `there is no C compiler ${command}; install one (on Debian: apt-get install gcc libc6-dev), ` +
    'or name another by CC'
  );
}
