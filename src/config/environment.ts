import { StoreError, messageOf } from '../base/errors.ts';
import type { Host } from '../platform/platform.ts';
import { quote } from './display.ts';
import { nearestName } from './nearest-name.ts';
import { bucketSettings } from './bucket-settings.ts';
import { isBucketUrl } from './object-store-url.ts';
import { parseSetting } from './parse.ts';
import { acceptedText } from './setting.ts';
import type { EffectiveSetting, Setting } from './setting.ts';
import { effectiveSettings, findSetting, settingPrefix, settings } from './settings.ts';
import { resolveStoreConfig } from './store-config.ts';
import type { ResolvedStoreConfig, StoreConfig, UncheckedStoreConfig } from './store-config.ts';
import { fieldResolvers } from './store-fields.ts';

/** Variables by name, as the platform gives them. An empty value counts as unset. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface EnvironmentOptions {
  /**
   * `library` (the default) shares the engine's environment: an unknown name is one line. `strict`,
   * for the CLI and the daemon: an unknown name is an error.
   */
  readonly mode?: 'library' | 'strict' | undefined;
  /** Takes each line for people. Without it they are dropped. */
  readonly report?: ((line: string) => void) | undefined;
  /** Fields that win over the environment, such as those of command line flags. */
  readonly overrides?: StoreConfig | undefined;
}

/** Unknown names that a message or the lines name. More than that is a foreign environment. */
const unknownNamesMax = 16;

/**
 * The complete configuration: overrides before the environment before the defaults. It is a
 * `StoreConfig` too, and resolving it again changes nothing.
 *
 * @throws StoreError `INVALID` for a value that does not parse, naming the variable and what is
 *   accepted; for a variable that asks for a daemon in a way that this version cannot use; for
 *   directories inside one another; in strict mode for an unknown name. TypeError or RangeError
 *   for a bad override.
 *
 * @example
 * const config = configFromEnvironment({ WMBT_KV_PUFFER_DISK_BYTES: '32 GiB' }, platform.host);
 */
export function configFromEnvironment(
  environment: Environment,
  host: Host,
  options: EnvironmentOptions = {},
): ResolvedStoreConfig {
  const report = options.report ?? ignore;
  const overrides = options.overrides ?? {};
  reportUnknownNames(environment, options.mode ?? 'library', report);
  const config = resolveStoreConfig(
    { ...readFields(environment, host), ...withoutUndefined(overrides) },
    host,
  );
  reportReplacedValues(environment, report);
  reportIdleNames(environment, config, report);
  return config;
}

function ignore(): void {}

function valueOf(environment: Environment, name: string): string | undefined {
  const text = Object.hasOwn(environment, name) ? environment[name] : undefined;
  return text === '' ? undefined : text;
}

function reportUnknownNames(
  environment: Environment,
  mode: 'library' | 'strict',
  report: (line: string) => void,
): void {
  const unknown = Object.keys(environment)
    .filter((name) => name.startsWith(settingPrefix) && valueOf(environment, name) !== undefined)
    .filter((name) => findSetting(name) === undefined);
  if (unknown.length === 0) return;
  const shown = unknown.sort().slice(0, unknownNamesMax).map(describeUnknownName);
  const more = unknown.length - shown.length;
  if (mode === 'strict') {
    const end = more > 0 ? `; and ${more} more` : '';
    throw new StoreError('INVALID', `unknown settings: ${shown.join('; ')}${end}`);
  }
  for (const text of shown) report(`WombatKV: unknown setting ${text}`);
  if (more > 0) report(`WombatKV: ${more} more unknown settings`);
}

function describeUnknownName(name: string): string {
  const ours = settings
    .map((setting) => setting.name)
    .filter((known) => known.startsWith(settingPrefix));
  const shownName = /^\w{1,80}$/.test(name) ? name : quote(name);
  return `${shownName} (the nearest known name is ${nearestName(name, ours)})`;
}

function readFields(environment: Environment, host: Host): UncheckedStoreConfig {
  const fields: [keyof StoreConfig, unknown][] = [];
  for (const setting of effectiveSettings) {
    const text = valueOf(environment, setting.name);
    if (text !== undefined) fields.push([setting.field, readField(setting, text, host)]);
  }
  return Object.fromEntries(fields);
}

/** The value in its final form: what the field refuses is refused in the variable's name. */
function readField(setting: EffectiveSetting, text: string, host: Host): unknown {
  const value = parseSetting(setting, text);
  try {
    return fieldResolvers[setting.field](value, host);
  } catch (cause) {
    const message = `${setting.name}: ${messageOf(cause)}; accepted: ${acceptedText(setting)}`;
    throw new StoreError('INVALID', message, { cause });
  }
}

/** An override that is undefined leaves the environment's value as it is. */
function withoutUndefined(overrides: StoreConfig): UncheckedStoreConfig {
  return Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
}

function reportReplacedValues(environment: Environment, report: (line: string) => void): void {
  const compress = valueOf(environment, 'WMBT_KV_BLOCK_COMPRESS');
  if (compress?.trim().toLowerCase() === 'lz4') {
    report('WombatKV: WMBT_KV_BLOCK_COMPRESS=lz4 is read as zstd');
  }
}

/** Known names without effect, all in one line: also those of a bucket, when another store is used. */
function reportIdleNames(
  environment: Environment,
  { objectStore }: ResolvedStoreConfig,
  report: (line: string) => void,
): void {
  const idleBucket: readonly Setting[] = isBucketUrl(objectStore) ? [] : bucketSettings;
  const names = settings
    .filter((setting) => setting.effect === 'accepted' || idleBucket.includes(setting))
    .filter((setting) => valueOf(environment, setting.name) !== undefined)
    .map((setting) =>
      setting.readBy.includes('engine') ? `${setting.name} (the engine reads it)` : setting.name,
    );
  if (names.length > 0) {
    report(`WombatKV: set, but without effect in this version: ${names.join(', ')}`);
  }
}
