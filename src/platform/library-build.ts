import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import {
  blake3Sources,
  compileObjects,
  runInPackage,
  sourcesIn,
  warningFlags,
} from './native-build.ts';
import type { NativeSource } from './native-build.ts';
import { nativeModulePath, packageRoot } from './native.ts';
import { layOutStore } from './store-program.ts';
import type { StoreProgram } from './store-program.ts';

/** What the system's headers show: POSIX, and what common systems add, macOS by a name of its own. */
export const systemFlags = [
  ...['-D_POSIX_C_SOURCE=200809L', '-D_DEFAULT_SOURCE', '-D_DARWIN_C_SOURCE'],
];

/** Where the library of this platform lies in the package: `include/` and `lib/`. */
export const libraryPrefix = join(dirname(nativeModulePath), 'libwombatkv');

/** Everything that the library is made of, for a processor as `process.arch` names it. */
export function librarySources(
  warnings: readonly string[],
  arch: string = process.arch,
): readonly NativeSource[] {
  const folders = [
    ['src', []],
    ['src/shared', systemFlags],
    ['src/library', systemFlags],
  ] as const;
  return [
    ...folders.flatMap(([folder, system]) =>
      sourcesIn(folder).map(({ file }) => ({ file, flags: [...warnings, ...system] })),
    ),
    ...blake3Sources(arch),
  ];
}

/** What links a library. */
export interface Linker {
  readonly compiler: string;
  /** Those of the compiler and the linker. */
  readonly flags: readonly string[];
  readonly isForMac: boolean;
  /** Functions may be those of the program, as a sanitizer's are. */
  readonly mayLackFunctions: boolean;
}

/** What a library is made of beside its code. */
export interface StoreParts {
  readonly program: StoreProgram;
  /** The path of the native module that the store uses. */
  readonly module: string;
}

/**
 * Compiles the library and lays it out in the folder, which must not be there and appears when all of it is done.
 *
 * @throws Error with what the compiler said, and when its store does not start.
 */
export async function buildLibrary(
  compiler: string,
  parts: StoreParts,
  prefix: string,
): Promise<void> {
  mkdirSync(dirname(prefix), { recursive: true });
  const objectsFolder = mkdtempSync(`${prefix}.objects-`);
  try {
    const flags = ['-fPIC', '-fvisibility=hidden', '-pthread'];
    const sources = librarySources(warningFlags);
    const objects = await compileObjects({ compiler, flags, sources }, objectsFolder);
    const isForMac = process.platform === 'darwin';
    const linker = { compiler, flags: ['-pthread'], isForMac, mayLackFunctions: false };
    await layOutLibrary(linker, objects, parts, prefix);
  } finally {
    rmSync(objectsFolder, { recursive: true, force: true });
  }
}

/**
 * Links the library and lays it out below the prefix: header, shared library by its two names, static library,
 * pkg-config file, CMake package and the store program. The prefix, which must not be there, appears when all of it is done.
 *
 * @throws Error with what the linker said, and when its store does not start.
 */
export async function layOutLibrary(
  linker: Linker,
  objects: readonly string[],
  { program, module }: StoreParts,
  prefix: string,
): Promise<void> {
  mkdirSync(dirname(prefix), { recursive: true });
  const fresh = mkdtempSync(`${prefix}.`);
  try {
    // Others run what is installed.
    chmodSync(fresh, 0o755);
    layOutTexts(fresh, linker.isForMac);
    await layOutStore(join(fresh, 'lib/wombatkv'), program, module);
    await linkShared(linker, objects, join(fresh, 'lib'));
    await archive(linker, objects, join(fresh, 'lib'));
    renameSync(fresh, prefix);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** The name of the shared library that programs ask for, and the static one, below the prefix. */
export function librariesIn(
  prefix: string,
  isForMac: boolean,
): { readonly shared: string; readonly archive: string } {
  const { soname } = namesOf(isForMac);
  return { shared: join(prefix, 'lib', soname), archive: join(prefix, 'lib/libwombatkv.a') };
}

/** Files of the layout that are filled in, from `capi/`, and where they go. */
export const libraryTemplates = [
  ['wombatkv.pc.in', 'lib/pkgconfig/wombatkv.pc'],
  ['wombatkv-config.cmake.in', 'lib/cmake/wombatkv/wombatkv-config.cmake'],
  ['wombatkv-config-version.cmake.in', 'lib/cmake/wombatkv/wombatkv-config-version.cmake'],
] as const;

interface Names {
  readonly major: string;
  readonly minor: string;
  /** The library's file. A minor version takes the place of the one before. */
  readonly soname: string;
  /** The name that programs are linked by, and that those ask for which know no soname. */
  readonly plain: string;
}

/** The version of the ABI, from the header, is in them. */
function namesOf(isForMac: boolean): Names {
  const header = readFileSync(join(packageRoot, 'capi/include/wombatkv.h'), 'utf8');
  const numberOf = (name: string): string => {
    const found = new RegExp(`^#define ${name} (\\d+)$`, 'm').exec(header)?.[1];
    if (found === undefined) throw new Error(`wombatkv.h defines no ${name}`);
    return found;
  };
  const major = numberOf('WMBT_KV_ABI_MAJOR');
  const named = (version: string): string =>
    isForMac ? `libwombatkv${version}.dylib` : `libwombatkv.so${version}`;
  return {
    ...{ major, minor: numberOf('WMBT_KV_ABI_MINOR') },
    ...{ soname: named(`.${major}`), plain: named('') },
  };
}

function layOutTexts(directory: string, isForMac: boolean): void {
  const { major, minor, soname } = namesOf(isForMac);
  for (const folder of ['include', 'lib/pkgconfig', 'lib/cmake/wombatkv', 'lib/wombatkv']) {
    mkdirSync(join(directory, folder), { recursive: true });
  }
  const header = 'include/wombatkv.h';
  copyFileSync(join(packageRoot, 'capi', header), join(directory, header));
  const values: Readonly<Record<string, string>> = {
    VERSION: `${major}.${minor}`,
    MAJOR: major,
    SONAME: soname,
  };
  for (const [template, file] of libraryTemplates) {
    const text = readFileSync(join(packageRoot, 'capi', template), 'utf8');
    const filled = text.replace(/@([A-Z]+)@/g, (whole, name: string) => values[name] ?? whole);
    writeFileSync(join(directory, file), filled);
  }
}

/** Links the shared library in the directory, where it is then under its two names; gives its path. */
export async function linkShared(
  linker: Linker,
  objects: readonly string[],
  directory: string,
): Promise<string> {
  const { major, minor, soname, plain } = namesOf(linker.isForMac);
  const shared = join(directory, soname);
  const kind = linker.isForMac
    ? [
        ...['-dynamiclib', '-install_name', `@rpath/${soname}`],
        ...['-current_version', `${major}.${minor}`, '-compatibility_version', major],
      ]
    : [
        ...['-shared', `-Wl,-soname,${soname}`],
        ...['-Wl,--version-script=capi/wombatkv.map', '-Wl,-z,relro,-z,now', '-Wl,-z,defs'],
        // A thread that looks a name up, and what watches forks, may outlive dlclose().
        '-Wl,-z,nodelete',
      ];
  const flags = linker.mayLackFunctions ? kind.filter((flag) => !flag.endsWith('defs')) : kind;
  // With dladdr() in it: a part of the C library itself, but for a glibc before 2.34.
  const libraries = ['-ldl'];
  const parts = [...objects, ...libraries, '-o', shared];
  await runInPackage(linker.compiler, [...linker.flags, ...flags, ...parts]);
  symlinkSync(soname, join(directory, plain));
  return shared;
}

/** One object in which only what the header names can be seen, so that nothing of ours can clash. */
async function archive(
  { compiler, isForMac }: Linker,
  objects: readonly string[],
  directory: string,
): Promise<void> {
  const archived = join(directory, 'libwombatkv.a');
  if (isForMac) {
    await runInPackage('ar', ['rcs', archived, ...objects]);
    return;
  }
  const whole = join(directory, 'wombatkv.o');
  await runInPackage(compiler, ['-r', '-nostdlib', ...objects, '-o', whole]);
  await runInPackage('objcopy', ['--localize-hidden', whole]);
  await runInPackage('ar', ['rcs', archived, whole]);
  rmSync(whole);
}
