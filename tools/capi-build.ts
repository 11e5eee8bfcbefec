import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as library from '../src/platform/library-build.ts';
import type { Linker } from '../src/platform/library-build.ts';
import { nativeModulePath } from '../src/platform/native.ts';
import { bundledStore } from './capi-bundle.ts';
import { compile, flagsOf, warningFlags } from './capi-compile.ts';
import type { CSource, Toolchain } from './capi-compile.ts';
import { projectRoot } from './project.ts';

/** A built library, laid out as it is installed. */
export interface BuiltLibrary {
  readonly toolchain: Toolchain;
  /** Absolute; holds `include/` and `lib/`. */
  readonly prefix: string;
  /** The shared and the static library, absolute. */
  readonly shared: string;
  readonly archive: string;
}

/** Everything that the library is made of, for a processor as `process.arch` names it. */
export function librarySources(arch: string = process.arch): readonly CSource[] {
  return library.librarySources(warningFlags, arch).map((source) => ({
    ...source,
    // Others test it; under a sanitizer its largest file alone takes a minute to compile.
    isPlain: source.file.startsWith('capi/third_party/'),
  }));
}

/** Links the shared library in the directory, where it is then under its two names; gives its path. */
export function linkShared(
  toolchain: Toolchain,
  objects: readonly string[],
  directory: string,
): Promise<string> {
  return library.linkShared(linkerOf(toolchain), objects, directory);
}

/** The library below `build/`, under a digest of all that it is made of: built once. */
export async function cachedLibrary(toolchain: Toolchain): Promise<BuiltLibrary> {
  const [objects, program] = await Promise.all([
    compile(toolchain, librarySources()),
    bundledStore(),
  ]);
  const hash = createHash('sha256').update(
    JSON.stringify([toolchain, objects, [...program], process.version]),
  );
  for (const file of filesOfLayout()) hash.update(readFileSync(file));
  const digest = hash.digest('hex').slice(0, 16);
  const prefix = join(projectRoot(), 'build/capi', `${toolchain.flavour}-${digest}`);
  if (existsSync(prefix)) return describe(toolchain, prefix);
  try {
    const parts = { program, module: nativeModulePath };
    await library.layOutLibrary(linkerOf(toolchain), objects, parts, prefix);
    return describe(toolchain, prefix);
  } catch (error) {
    // Another process may have been first.
    if (existsSync(prefix)) return describe(toolchain, prefix);
    throw error;
  }
}

/** What a library depends on beside its objects and its program. */
function filesOfLayout(): readonly string[] {
  const templates = library.libraryTemplates.map(([from]) => from);
  const ours = ['include/wombatkv.h', 'wombatkv.map', ...templates];
  const layout = ['library-build', 'store-program', 'store-code-child'];
  return [
    nativeModulePath,
    ...ours.map((file) => join(projectRoot(), 'capi', file)),
    ...layout.map((name) => join(projectRoot(), `src/platform/${name}.ts`)),
  ];
}

function describe(toolchain: Toolchain, prefix: string): BuiltLibrary {
  return { toolchain, prefix, ...library.librariesIn(prefix, isForMac(toolchain)) };
}

function linkerOf(toolchain: Toolchain): Linker {
  return {
    compiler: toolchain.compiler,
    flags: flagsOf(toolchain),
    isForMac: isForMac(toolchain),
    // A sanitizer's functions are the program's.
    mayLackFunctions: toolchain.flavour !== 'plain',
  };
}

function isForMac({ target }: Toolchain): boolean {
  return target === undefined ? process.platform === 'darwin' : target.endsWith('-macos');
}
