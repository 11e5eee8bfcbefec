import { Command } from 'commander';
import { StoreError, messageOf } from '../base/errors.ts';
import { parseHostAndPort } from '../config/door-settings.ts';
import type { HostAndPort } from '../config/door-settings.ts';
import { findSetting } from '../config/settings.ts';
import { withPriceFlag } from './prices.ts';
import type { PriceFlags } from './prices.ts';
import { settingsHelp } from './settings-help.ts';
import type { Terminal } from './terminal.ts';

/** What the flags of the daemon say. */
export interface DaemonFlags extends PriceFlags {
  readonly prefix: readonly string[];
  readonly tcp: readonly HostAndPort[];
  readonly http: readonly HostAndPort[];
  readonly unix: readonly string[];
  readonly config?: string;
  /** Settings by name. */
  readonly set: Readonly<Record<string, string>>;
  readonly insecure?: boolean;
  readonly tpc?: boolean;
}

const explanation = `
Without a transport it serves the prefix "default". Every change of state is a line of JSON on standard
output; the line with "event":"ready" lists the addresses. SIGTERM and SIGINT drain: calls that run
end, uploads get some time, the rest stays pending on this host. A second signal ends it at once.
SIGHUP reads the files of tokens, certificate and key again; so does a change of them, by itself.

Exit codes: 0 stopped in order, 1 failed while it ran, 2 wrong flags or settings, 3 an address is taken.
`;

/**
 * Reads the flags.
 *
 * @throws CommanderError for wrong flags and for help, which has been written by then; StoreError
 * `INVALID` for a value that is wrong.
 */
export function parseDaemonFlags(args: readonly string[], terminal: Terminal): DaemonFlags {
  const { results, notes } = terminal;
  const command = withPriceFlag(new Command('wombatkv-daemon'))
    .description('Serves one WombatKV store to engines on this host and on others.')
    .option('--prefix <name>', 'a Unix socket <name>.sock in the runtime directory', collect, [])
    .option(
      '--tcp <host:port>',
      'a TCP port; 0 for any, which is printed',
      addressCollector('--tcp'),
      [],
    )
    .option('--http <host:port>', 'a port for HTTP, as with --tcp', addressCollector('--http'), [])
    .option('--unix <path>', 'a Unix socket at that path', collectPath, [])
    .option('--config <file>', 'settings, one NAME=value a line; the environment wins over them')
    .option('--set <name=value>', 'a setting; wins over environment and file', collectSetting, {})
    .option('--insecure', 'permit TCP and HTTP on addresses beyond this host without a token')
    .option('--tpc', 'accepted for the sake of old scripts; without effect')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => results.write(text),
      writeErr: (text) => notes.write(text),
      outputError: (text, write) => write(`wombatkv-daemon: ${text.replace(/^error: /, '')}`),
    })
    .addHelpText('after', () => `${explanation}\n${settingsHelp(results.columns)}`);
  command.parse(args, { from: 'user' });
  return command.opts<DaemonFlags>();
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function collectSetting(
  text: string,
  before: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/s.exec(text) ?? [];
  // What is wrong may be a secret, and is not shown.
  if (name === undefined) throw new StoreError('INVALID', '--set must be NAME=value');
  if (findSetting(name) === undefined) {
    throw new StoreError('INVALID', `--set names no setting: ${name.slice(0, 80)}`);
  }
  return { ...before, [name]: value };
}

function collectPath(value: string, before: readonly string[]): readonly string[] {
  if (value.startsWith('/')) return [...before, value];
  const got = JSON.stringify(value.slice(0, 200));
  throw new StoreError('INVALID', `--unix must be an absolute path; got ${got}`);
}

function addressCollector(
  flag: string,
): (value: string, before: readonly HostAndPort[]) => readonly HostAndPort[] {
  return (value, before) => {
    try {
      return [...before, parseHostAndPort(value)];
    } catch (cause) {
      throw new StoreError('INVALID', `${flag}: ${messageOf(cause)}`, { cause });
    }
  };
}
