import type { Command } from 'commander';
import { StoreError } from '../base/errors.ts';
import { libraryPrefix } from '../platform/library-build.ts';
import type { CommandContext } from './command-context.ts';

const explanation = `
    cc engine.c $(npx wombatkv c-flags) -o engine

The program finds the library where it lies now; LD_LIBRARY_PATH says where it was moved to. A path that a shell would
take apart is quoted; then: eval cc engine.c "$(npx wombatkv c-flags)" -o engine
For others: PKG_CONFIG_PATH="$(npx wombatkv c-flags --prefix)/lib/pkgconfig", CMAKE_PREFIX_PATH="$(npx wombatkv c-flags --prefix)"`;

export function addCFlagsCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  program
    .command('c-flags')
    .description('print what a C compiler is told to use libwombatkv of this package')
    .option('--prefix', 'print the folder instead that holds its include/ and lib/')
    .addHelpText('after', explanation)
    .action(async (flags: { readonly prefix?: boolean }) =>
      finish(await printFlags(context, flags.prefix === true)),
    );
}

async function printFlags(
  { platform, terminal }: CommandContext,
  isPrefix: boolean,
): Promise<number> {
  const { files } = platform;
  if ((await files.status(`${libraryPrefix}/include/wombatkv.h`)) === undefined) {
    const message = `there is no libwombatkv for this machine in the package, at ${libraryPrefix}; `;
    throw new StoreError('UNAVAILABLE', `${message}wombatkv build-native builds it`);
  }
  const library = `${libraryPrefix}/lib`;
  const flags = [`-I${libraryPrefix}/include`, `-L${library}`, `-Wl,-rpath,${library}`];
  const words = [...flags, '-lwombatkv'].map(quoted).join(' ');
  terminal.results.write(`${isPrefix ? libraryPrefix : words}\n`);
  return 0;
}

/** The word as a shell reads it as one. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
