import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildLibrary, libraryPrefix } from './library-build.ts';
import { buildNativeModule } from './native-build.ts';
import { nativeModulePath } from './native.ts';
import { readStoreProgram, removeOtherStores } from './store-program.ts';
import type { StoreProgram } from './store-program.ts';

/** The folder of the store program, below a prefix. */
const programs = 'lib/wombatkv';

/** Builds the library of this platform for the package, whose native module is built. Resolves to its place. */
export async function buildPackedLibrary(compiler: string): Promise<string> {
  const fresh = `${libraryPrefix}.fresh-${process.pid}`;
  try {
    await buildLibrary(compiler, { program: packedProgram(), module: nativeModulePath }, fresh);
    replaceLibrary(fresh, libraryPrefix);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return libraryPrefix;
}

/** Builds the library and installs it below the prefix; in the package nothing is written. */
export async function buildLibraryInto(compiler: string, prefix: string): Promise<void> {
  const place = mkdtempSync(join(tmpdir(), 'wombatkv-build-'));
  try {
    const program = packedProgram();
    const module = await buildNativeModule(compiler, join(place, 'wombatkv-native.node'));
    const library = join(place, 'libwombatkv');
    await buildLibrary(compiler, { program, module }, library);
    installLibrary(library, prefix);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function packedProgram(): StoreProgram {
  const program = readStoreProgram();
  if (program !== undefined) return program;
  throw new Error(
    'the store program is not in this package: npm pack puts it there, by the scripts of the package; in ' +
      'a clone npm run capi -- build builds the library',
  );
}

/**
 * Copies a library to the prefix, where it needs nothing of the place that it comes from. What else lies there
 * stays, but for store programs of other builds. Each file takes its name when it is whole: programs that use an older
 * one keep it.
 */
export function installLibrary(library: string, prefix: string): void {
  copyTree(library, prefix);
  removeOtherStores(join(prefix, programs), join(library, programs));
}

/**
 * Puts a library in the place of another of the package. npm packs no links, so each name is a file there.
 */
function replaceLibrary(library: string, place: string): void {
  for (const file of readdirSync(join(library, 'lib'), { withFileTypes: true })) {
    if (!file.isSymbolicLink()) continue;
    const path = join(library, 'lib', file.name);
    const target = join(library, 'lib', readlinkSync(path));
    rmSync(path);
    copyFileSync(target, path);
  }
  const older = `${place}.older-${process.pid}`;
  if (existsSync(place)) renameSync(place, older);
  renameSync(library, place);
  rmSync(older, { recursive: true, force: true });
}

function copyTree(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      copyTree(source, target);
      continue;
    }
    const fresh = `${target}.${process.pid}`;
    rmSync(fresh, { force: true });
    if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), fresh);
    else copyFileSync(source, fresh);
    renameSync(fresh, target);
  }
}
