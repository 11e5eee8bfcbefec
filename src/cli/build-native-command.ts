import type { Command } from 'commander';
import { StoreError, messageOf } from '../base/errors.ts';
import { buildNativeModule } from '../platform/native-build.ts';
import { nativeCode } from '../platform/native.ts';
import type { CommandContext } from './command-context.ts';

const explanation = `
It is built into the package's own folder by the C compiler that CC names, else by cc. Programs that
run already go on with what they have loaded. What it is for: memory that a daemon shares with clients
on its host, faster checksums and keys, a lock on the owned part of the cache directory, and word to the
service manager when the daemon is ready. Without it clients of a daemon use its socket, and all works as well, slower; WMBT_KV_NATIVE=off switches it off.`;

export function addBuildNativeCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command('build-native')
    .description('build the native code of this package for this machine')
    .addHelpText('after', explanation)
    .action(async () => finish(await buildNative(context)));
}

async function buildNative({ platform, terminal }: CommandContext): Promise<number> {
  const compiler = platform.environment['CC'];
  const path = await build(compiler === undefined || compiler === '' ? 'cc' : compiler);
  const choice = nativeCode('auto');
  if (choice.code === undefined) {
    throw new StoreError('INCOMPATIBLE', `${path} was built, and ${choice.reason}`);
  }
  const kernel = choice.code.crc32cKernel;
  terminal.results.write(`built ${path}; CRC32C on this processor: ${kernel}\n`);
  return 0;
}

async function build(compiler: string): Promise<string> {
  try {
    return await buildNativeModule(compiler);
  } catch (cause) {
    const message = `native code was not built: ${messageOf(cause)}`;
    throw new StoreError('UNAVAILABLE', message, { cause });
  }
}
