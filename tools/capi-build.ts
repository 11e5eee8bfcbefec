import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { blake3Sources } from '../src/platform/native-build.ts';
import { bundledStore } from './capi-bundle.ts';
import { compile, flagsOf, run, sourcesIn, warningFlags } from './capi-compile.ts';
import type { CSource, Toolchain } from './capi-compile.ts';
import { projectRoot } from './project.ts';
import { layOutStore } from './store-program.ts';

/** A built library, laid out as it is installed. */
export interface BuiltLibrary {
  readonly toolchain: Toolchain;
  /** Absolute; holds `include/` and `lib/`. */
  readonly prefix: string;
  /** The shared and the static library, absolute. */
  readonly shared: string;
  readonly archive: string;
}

/** What the system's headers show: POSIX, and what common systems add, macOS by a name of its own. */
export const systemFlags = [
  ...['-D_POSIX_C_SOURCE=200809L', '-D_DEFAULT_SOURCE', '-D_DARWIN_C_SOURCE'],
];

/** Everything that the library is made of, for a processor as `process.arch` names it. */
export function librarySources(arch: string = process.arch): readonly CSource[] {
  return [
    ...sourcesIn('src', warningFlags),
    ...sourcesIn('src/shared', [...warningFlags, ...systemFlags]),
    ...sourcesIn('src/library', [...warningFlags, ...systemFlags]),
    // Others test it; under a sanitizer its largest file alone takes a minute to compile.
    ...blake3Sources(arch).map((source) => ({ ...source, isPlain: true })),
  ];
}

/**
 * Builds the library and lays it out below the prefix: header, shared library by its three names,
 * static library, pkg-config file, CMake package and the store program. The prefix, which must not be there, appears
 * when all of it is done.
 *
 * @throws Error with what the compiler said.
 */
async function buildLibrary(
  toolchain: Toolchain,
  prefix: string,
  store: string,
): Promise<BuiltLibrary> {
  const objects = await compile(toolchain, librarySources());
  mkdirSync(dirname(prefix), { recursive: true });
  const fresh = mkdtempSync(`${prefix}.`);
  try {
    const names = namesOf(toolchain);
    layOut(fresh, names);
    await layOutStore(join(fresh, 'lib/wombatkv'), store);
    await linkShared(toolchain, objects, join(fresh, 'lib'));
    await archive(toolchain, objects, join(fresh, 'lib'));
    renameSync(fresh, prefix);
    return describe(toolchain, prefix);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** The library below `build/`, under a digest of all that it is made of: built once. */
export async function cachedLibrary(toolchain: Toolchain): Promise<BuiltLibrary> {
  const [objects, store] = await Promise.all([
    compile(toolchain, librarySources()),
    bundledStore(),
  ]);
  const hash = createHash('sha256').update(
    JSON.stringify([toolchain, objects, store, process.version]),
  );
  for (const file of ['include/wombatkv.h', 'wombatkv.map', ...templates.map(([from]) => from)]) {
    hash.update(readFileSync(join(projectRoot(), 'capi', file)));
  }
  for (const file of ['capi-build.ts', 'store-program.ts', 'store-code-child.ts']) {
    hash.update(readFileSync(join(projectRoot(), 'tools', file)));
  }
  const digest = hash.digest('hex').slice(0, 16);
  const prefix = join(projectRoot(), 'build/capi', `${toolchain.flavour}-${digest}`);
  if (existsSync(prefix)) return describe(toolchain, prefix);
  try {
    return await buildLibrary(toolchain, prefix, store);
  } catch (error) {
    // Another process may have been first.
    if (existsSync(prefix)) return describe(toolchain, prefix);
    throw error;
  }
}

function describe(toolchain: Toolchain, prefix: string): BuiltLibrary {
  const library = join(prefix, 'lib');
  const shared = join(library, namesOf(toolchain).shared);
  return { toolchain, prefix, shared, archive: join(library, 'libwombatkv.a') };
}

/** Files of the layout that are filled in, and where they go. */
const templates = [
  ['wombatkv.pc.in', 'lib/pkgconfig/wombatkv.pc'],
  ['wombatkv-config.cmake.in', 'lib/cmake/wombatkv/wombatkv-config.cmake'],
  ['wombatkv-config-version.cmake.in', 'lib/cmake/wombatkv/wombatkv-config-version.cmake'],
] as const;

interface Version {
  readonly major: string;
  readonly minor: string;
}

interface Names extends Version {
  readonly shared: string;
  readonly soname: string;
  /** The name that programs are linked by, and that those ask for which know no soname. */
  readonly plain: string;
}

/** The version of the ABI, from the header. */
function readVersion(): Version {
  const header = readFileSync(join(projectRoot(), 'capi/include/wombatkv.h'), 'utf8');
  const numberOf = (name: string): string => {
    const found = new RegExp(`^#define ${name} (\\d+)$`, 'm').exec(header)?.[1];
    if (found === undefined) throw new Error(`wombatkv.h defines no ${name}`);
    return found;
  };
  return { major: numberOf('WMBT_KV_ABI_MAJOR'), minor: numberOf('WMBT_KV_ABI_MINOR') };
}

function isForMac({ target }: Toolchain): boolean {
  return target === undefined ? process.platform === 'darwin' : target.endsWith('-macos');
}

function namesOf(toolchain: Toolchain): Names {
  const { major, minor } = readVersion();
  const named = (version: string): string =>
    isForMac(toolchain) ? `libwombatkv${version}.dylib` : `libwombatkv.so${version}`;
  return {
    ...{ major, minor, plain: named('') },
    ...{ shared: named(`.${major}.${minor}`), soname: named(`.${major}`) },
  };
}

function layOut(directory: string, names: Names): void {
  const root = projectRoot();
  for (const folder of ['include', 'lib/pkgconfig', 'lib/cmake/wombatkv', 'lib/wombatkv']) {
    mkdirSync(join(directory, folder), { recursive: true });
  }
  copyFileSync(join(root, 'capi/include/wombatkv.h'), join(directory, 'include/wombatkv.h'));
  const values: Readonly<Record<string, string>> = {
    VERSION: `${names.major}.${names.minor}`,
    MAJOR: names.major,
    SHARED: names.shared,
    SONAME: names.soname,
  };
  for (const [template, file] of templates) {
    const text = readFileSync(join(root, 'capi', template), 'utf8');
    const filled = text.replace(/@([A-Z]+)@/g, (whole, name: string) => values[name] ?? whole);
    writeFileSync(join(directory, file), filled);
  }
}

/** Links the shared library in the directory, where it is then under its three names; gives its path. */
export async function linkShared(
  toolchain: Toolchain,
  objects: readonly string[],
  directory: string,
): Promise<string> {
  const names = namesOf(toolchain);
  const shared = join(directory, names.shared);
  const kind = isForMac(toolchain)
    ? [
        ...['-dynamiclib', '-install_name', `@rpath/${names.soname}`],
        ...['-current_version', `${names.major}.${names.minor}`],
        ...['-compatibility_version', names.major],
      ]
    : [
        ...['-shared', `-Wl,-soname,${names.soname}`],
        ...['-Wl,--version-script=capi/wombatkv.map', '-Wl,-z,relro,-z,now', '-Wl,-z,defs'],
        // A thread that looks a name up, and what watches forks, may outlive dlclose().
        '-Wl,-z,nodelete',
      ];
  // A sanitizer's functions are the program's.
  const flags =
    toolchain.flavour === 'plain' ? kind : kind.filter((flag) => !flag.endsWith('defs'));
  // With dladdr() in it: a part of the C library itself, but for a glibc before 2.34.
  const libraries = ['-ldl'];
  const parts = [...objects, ...libraries, '-o', shared];
  await run(toolchain.compiler, [...flagsOf(toolchain), ...flags, ...parts]);
  symlinkSync(names.shared, join(directory, names.soname));
  symlinkSync(names.soname, join(directory, names.plain));
  return shared;
}

/** One object in which only what the header names can be seen, so that nothing of ours can clash. */
async function archive(
  toolchain: Toolchain,
  objects: readonly string[],
  directory: string,
): Promise<void> {
  const { compiler } = toolchain;
  const archived = join(directory, 'libwombatkv.a');
  if (isForMac(toolchain)) {
    await run('ar', ['rcs', archived, ...objects]);
    return;
  }
  const whole = join(directory, 'wombatkv.o');
  await run(compiler, ['-r', '-nostdlib', ...objects, '-o', whole]);
  await run('objcopy', ['--localize-hidden', whole]);
  await run('ar', ['rcs', archived, whole]);
  rmSync(whole);
}
