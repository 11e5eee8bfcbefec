import { resolve } from 'node:path';
import type { Command } from 'commander';
import { StoreError, messageOf } from '../base/errors.ts';
import { buildLibraryInto, buildPackedLibrary } from '../platform/library-install.ts';
import { buildNativeModule } from '../platform/native-build.ts';
import { nativeCode } from '../platform/native.ts';
import type { CommandContext } from './command-context.ts';

const explanation = `
Built into the package's own folder by the C compiler that CC names, else by cc: the native module, and
libwombatkv for engines in C and C++, which "wombatkv c-flags" finds there. With --prefix the library alone,
to that folder, and nothing in the package: include/, lib/, pkg-config file, CMake package, store program.
Programs that run already go on with what they have loaded.

What the module is for: memory that a daemon shares with clients on its host, faster checksums and keys, a lock on
the owned part of the cache directory, and word to the service manager when the daemon is ready. Without it clients of
a daemon use its socket, and all works as well, slower; WMBT_KV_NATIVE=off switches it off.`;

interface BuildFlags {
  readonly prefix?: string;
  readonly library: boolean;
}

export function addBuildNativeCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command('build-native')
    .description('build the native code of this package, and libwombatkv, for this machine')
    .option('--prefix <folder>', 'install libwombatkv in the folder instead')
    .option('--no-library', 'build the native module alone')
    .addHelpText('after', explanation)
    .action(async (flags: BuildFlags) => finish(await buildNative(context, flags)));
}

async function buildNative(
  { platform, terminal }: CommandContext,
  { prefix, library }: BuildFlags,
): Promise<number> {
  const { results } = terminal;
  const compiler = platform.environment['CC'] || 'cc';
  if (prefix !== undefined) {
    if (!library) throw new StoreError('INVALID', '--prefix is for the library; not --no-library');
    await built('libwombatkv', buildLibraryInto(compiler, resolve(prefix)));
    results.write(`built ${prefix}/lib, ${prefix}/include\n`);
    return 0;
  }
  const path = await built('native code', buildNativeModule(compiler));
  const choice = nativeCode('auto');
  if (choice.code === undefined) {
    throw new StoreError('INCOMPATIBLE', `${path} was built, and ${choice.reason}`);
  }
  const kernel = choice.code.crc32cKernel;
  results.write(`built ${path}; CRC32C on this processor: ${kernel}\n`);
  if (!library) return 0;
  results.write(`built ${await built('libwombatkv', buildPackedLibrary(compiler))}\n`);
  return 0;
}

/** What is built, or a failure that says what was not. */
async function built<Result>(what: string, building: Promise<Result>): Promise<Result> {
  try {
    return await building;
  } catch (cause) {
    throw new StoreError('UNAVAILABLE', `${what} was not built: ${messageOf(cause)}`, { cause });
  }
}
