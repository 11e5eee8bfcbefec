import type { StoreConfig } from './store-config.ts';

/** How a value is written; `parse.ts` reads the kinds that have effect. */
export type SettingKind =
  | 'bytes'
  | 'bytes-or-off'
  | 'milliseconds'
  | 'seconds'
  | 'count'
  | 'boolean'
  | 'choice'
  | 'text'
  | 'path'
  | 'url'
  | 'address'
  | 'list';

/** Who reads a setting. `rust`: only the Rust version, whose environments we are given. */
export type SettingReader = 'library' | 'daemon' | 'engine' | 'rust';

/**
 * What setting it does in this version.
 *
 * - `now`: it is parsed and obeyed.
 * - `c-library`: the C library alone reads it, and parses it itself.
 * - `accepted`: it is known, not parsed, and named in one line so that nobody waits for its effect.
 */
export type SettingEffect = 'now' | 'c-library' | 'accepted';

/** One variable of the environment. */
export interface Setting {
  readonly name: string;
  readonly kind: SettingKind;
  /** What is accepted, where the kind alone does not say it. */
  readonly accepts?: string;
  /** Every accepted word of a `choice` with the value that it means. */
  readonly choices?: Readonly<Record<string, string>>;
  /** What holds when it is unset, written as one would write it. Empty: nothing. */
  readonly default: string;
  /** One or two sentences for people. */
  readonly help: string;
  readonly readBy: readonly SettingReader[];
  readonly effect: SettingEffect;
  /** Its value never appears in a message. */
  readonly isSecret?: true;
}

/** A setting that is obeyed: its parsed value becomes a field of the store's configuration. */
export interface EffectiveSetting extends Setting {
  readonly effect: 'now';
  readonly field: keyof StoreConfig;
}

/** The unit of a plain number, or undefined where the kind has none. */
export function unitOf(kind: SettingKind): string | undefined {
  switch (kind) {
    case 'bytes':
    case 'bytes-or-off':
      return 'bytes';
    case 'milliseconds':
      return 'ms';
    case 'seconds':
      return 's';
    case 'count':
    case 'boolean':
    case 'choice':
    case 'text':
    case 'path':
    case 'url':
    case 'address':
    case 'list':
      return undefined;
    default:
      return kind satisfies never;
  }
}

/** What is accepted as the value, in words that follow "accepted: ". */
export function acceptedText(setting: Setting): string {
  if (setting.accepts !== undefined) return setting.accepts;
  switch (setting.kind) {
    case 'bytes':
      return 'a whole number of bytes, or one with K, M, G, T, KiB, MiB, GiB or TiB';
    case 'bytes-or-off':
      return 'a whole number of bytes, or one with K, M, G, T, KiB, MiB, GiB or TiB; off for no limit';
    case 'milliseconds':
      return 'a whole number of milliseconds';
    case 'seconds':
      return 'a whole number of seconds';
    case 'count':
      return 'a whole number';
    case 'boolean':
      return '1, true, yes, on, 0, false, no, off';
    case 'choice':
      return Object.keys(setting.choices ?? {}).join(', ');
    case 'text':
      return 'text';
    case 'path':
      return 'an absolute path, or one that begins with ~/';
    case 'url':
      return 'a URL';
    case 'address':
      return 'host:port';
    case 'list':
      return 'a list of host:port, separated by commas';
    default:
      return setting.kind satisfies never;
  }
}
