import type { Command } from 'commander';
import { messageOf, StoreError } from '../base/errors.ts';
import { configFromEnvironment } from '../config/environment.ts';
import type { ResolvedStoreConfig, StoreConfig } from '../config/store-config.ts';
import type { Platform } from '../platform/platform.ts';
import type { Terminal } from './terminal.ts';

/** What every command is given. */
export interface CommandContext {
  readonly platform: Platform;
  readonly terminal: Terminal;
}

/** A command's work; resolves to the exit code. */
export type CommandRun<Flags> = (context: CommandContext, flags: Flags) => Promise<number>;

/** Flags that say which store is meant. They win over the environment. */
export interface StoreFlags {
  readonly store?: string;
  readonly prefix?: string;
  readonly namespace?: string;
  readonly cacheDirectory?: string;
}

export interface OutputFlags {
  readonly json?: boolean;
}

/** For each field that a flag sets, the flag. */
export const flagOfField: Readonly<Partial<Record<keyof StoreConfig, string>>> = {
  objectStore: '--store',
  keyPrefix: '--prefix',
  namespace: '--namespace',
  cacheDirectory: '--cache-directory',
};

/** Adds the flags of {@link StoreFlags}. */
export function withStoreFlags(command: Command): Command {
  return command
    .option('--store <url>', 'object store, as in WMBT_KV_OBJECT_STORE')
    .option('--prefix <prefix>', 'prefix of every object key, as in WMBT_KV_S3_PREFIX')
    .option('--namespace <name>', 'namespace, as in WMBT_KV_NAMESPACE')
    .option('--cache-directory <path>', 'cache directory, as in WMBT_KV_PUFFER_DIR');
}

/** Adds the flag of {@link OutputFlags}. */
export function withJsonFlag(command: Command): Command {
  return command.option('--json', 'print one JSON document instead of text');
}

/** What the flags set. */
export function overridesOf(flags: StoreFlags): StoreConfig {
  return {
    objectStore: flags.store,
    keyPrefix: flags.prefix,
    namespace: flags.namespace,
    cacheDirectory: flags.cacheDirectory,
  };
}

/**
 * The settings in effect: flags before the environment before the defaults. Lines about names
 * without effect go to the notes.
 *
 * @throws StoreError `INVALID` naming the flag or variable that is wrong.
 */
export function settingsInEffect(context: CommandContext, flags: StoreFlags): ResolvedStoreConfig {
  const { platform, terminal } = context;
  try {
    return configFromEnvironment(platform.environment, platform.host, {
      mode: 'strict',
      overrides: overridesOf(flags),
      report: (line) => terminal.notes.write(`${line}\n`),
    });
  } catch (error) {
    // What an override may not be is told by the name of its field.
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    const fault = messageOf(error);
    const field = Object.entries(flagOfField).find(([name]) => fault.startsWith(`${name} `));
    const message = field === undefined ? fault : `${field[1]}: ${fault}`;
    throw new StoreError('INVALID', message, { cause: error });
  }
}

/** Prints the value as the one JSON document of a command. */
export function printJson(context: CommandContext, value: unknown): void {
  context.terminal.results.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Reads a whole number from `least` up, as commander wants it. */
export function wholeNumberFlag(flag: string, least: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least) return value;
    const got = JSON.stringify(text);
    throw new StoreError('INVALID', `${flag} must be a whole number from ${least} up; got ${got}`);
  };
}

/** Milliseconds of each unit of a duration. */
const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Reads a duration such as `12h` of at least so many milliseconds, as commander wants it. */
export function durationFlag(flag: string, leastMs: number): (text: string) => number {
  return (text) => {
    const [, digits, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
    const ms = digits === undefined ? Number.NaN : Number(digits) * unitMs[unit];
    if (ms >= leastMs) return ms;
    const accepted = `a whole number with s, m, h, d or w, at least ${leastMs / 1000}s`;
    const got = JSON.stringify(text);
    throw new StoreError('INVALID', `${flag} must be a duration (${accepted}); got ${got}`);
  };
}
