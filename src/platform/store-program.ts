import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { systemErrorCode } from '../base/errors.ts';
import { nativeModulePath, packageRoot } from './native.ts';

/**
 * The store in few files, for an engine in C: the text of each by its path. `store.js` is a function of `require` and of
 * the URL of the folder that it lies in. All else that it uses lies there as it does in the package, worker threads
 * in `dist/`, so nothing of it belongs to the place where it was made.
 */
export type StoreProgram = ReadonlyMap<string, string>;

/** What compresses where Node cannot, and where it lies in the program, with its binaries beside it. */
export const zstdPackage = '@toondepauw/node-zstd';
export const packedZstd = 'packages/node-zstd';

/** Where a package brings the program, for libraries that are built from it. */
export const packedStore = join(packageRoot, 'build/store-program');

/** The program that the package brings; undefined where it brings none. */
export function readStoreProgram(folder = packedStore): StoreProgram | undefined {
  if (!existsSync(folder)) return undefined;
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    files
      .map((file) => join(file.parentPath, file.name))
      .map((path) => [relative(folder, path), readFileSync(path, 'utf8')] as const),
  );
}

/** Writes the program into the folder. */
export function writeStoreProgram(folder: string, program: StoreProgram): void {
  for (const [file, text] of program) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
}

const codeChild = fileURLToPath(new URL('./store-code-child.js', import.meta.url));

/** Starting the store takes a second at most; a machine that compiles has others to serve. */
const codeMsMax = 60_000;

/** The folder of one build of the program, beside the library. */
const folderPattern = /^store-[0-9a-f]{16}$/;

/**
 * Lays the program out in the folder as the C library starts it (docs/decisions/0104): `store.cjs`, which runs
 * `store-<digest>/store.js` by the compiled code beside it, with the native module. All of it is of one
 * build, whatever lies beside it, and needs nothing of the place that it comes from.
 *
 * @throws Error when the program does not start here.
 */
export async function layOutStore(
  folder: string,
  program: StoreProgram,
  module: string,
): Promise<void> {
  const binaries = new Map([
    [relative(packageRoot, nativeModulePath), module],
    ...zstdBinaries().map((path) => [join(packedZstd, basename(path)), path] as const),
  ]);
  const hash = createHash('sha256').update(JSON.stringify([...program]));
  for (const path of binaries.values()) hash.update(readFileSync(path));
  const name = `store-${hash.digest('hex').slice(0, 16)}`;
  const place = join(folder, name);
  writeStoreProgram(place, program);
  for (const [file, path] of binaries) {
    mkdirSync(dirname(join(place, file)), { recursive: true });
    copyFileSync(path, join(place, file));
  }
  writeFileSync(join(folder, 'store.cjs'), loaderOf(name));
  await keepCode(join(place, 'store.js'), join(place, 'store.code'));
}

/** Those that are installed here, for the processor and the C library of this machine. */
function zstdBinaries(): readonly string[] {
  const require = createRequire(import.meta.url);
  const text = readFileSync(require.resolve(`${zstdPackage}/package.json`), 'utf8');
  const fields = JSON.parse(text) as { readonly optionalDependencies: object };
  return Object.keys(fields.optionalDependencies).flatMap((name) => {
    try {
      return [require.resolve(name)];
    } catch (error) {
      if (systemErrorCode(error) === 'MODULE_NOT_FOUND') return [];
      throw error;
    }
  });
}

/** The folder of the program that `store.cjs` runs; of the first of several. */
export function storeFolderIn(folder: string): string | undefined {
  const name = readdirSync(folder).find((entry) => folderPattern.test(entry));
  return name === undefined ? undefined : join(folder, name);
}

/** Removes programs of other builds than the one that lies in `ofBuild`. */
export function removeOtherStores(folder: string, ofBuild: string): void {
  const own = new Set(readdirSync(ofBuild));
  for (const name of readdirSync(folder)) {
    if (folderPattern.test(name) && !own.has(name)) rmSync(join(folder, name), { recursive: true });
  }
}

/**
 * What compiles the program, unless its code is there and this Node's: V8 looks at its own version and
 * flags and at the length of the program, and compiles where one differs.
 */
function loaderOf(name: string): string {
  return `// Written by the build of libwombatkv; WMBT_KV_STORE names another program.
'use strict';
const { existsSync, readFileSync } = require('node:fs');
const { pathToFileURL } = require('node:url');
const { constants, Script } = require('node:vm');
const home = \`\${__dirname}/${name}/\`;
const filename = \`\${home}store.js\`;
const code = \`\${home}store.code\`;
new Script(readFileSync(filename, 'latin1'), {
  filename,
  cachedData: existsSync(code) ? readFileSync(code) : undefined,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
}).runInThisContext()(require, pathToFileURL(home).href);
`;
}

/** Keeps the code of all functions that a start of the program has compiled. */
async function keepCode(program: string, target: string): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'wombatkv-store-'));
  const run = join(home, 'run');
  mkdirSync(run, { mode: 0o700 });
  const child = spawn(process.execPath, [codeChild, program, target], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'ipc'],
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, WMBT_KV_RUNTIME_DIR: run },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), codeMsMax);
  const closed = once(child, 'close');
  try {
    await readyOf(child);
    child.send('keep');
    await once(child, 'disconnect');
    // Its owner has gone: it ends.
    bondOf(child).destroy();
    const [status] = await closed;
    if (status !== 0) throw new Error(`the store program ended with ${String(status)}`);
  } finally {
    child.kill('SIGKILL');
    await closed;
    clearTimeout(timer);
    rmSync(home, { recursive: true, force: true });
  }
}

/** Resolves when the store says that it is ready. */
async function readyOf(child: ChildProcess): Promise<void> {
  let said = '';
  for await (const text of bondOf(child).setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    said += String(text);
    if (/^ready /m.test(said)) return;
  }
  throw new Error(`the store program does not start: ${said}`);
}

/** This side of the socket between the store and its owner. */
function bondOf({ stdio: [, , , bond] }: ChildProcess): Readable {
  if (bond instanceof Readable) return bond;
  throw new Error('the store program has no socket');
}
