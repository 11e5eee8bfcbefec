import { StoreError } from '../base/errors.ts';
import { displayUrl, quote } from './display.ts';
import { acceptedText } from './setting.ts';
import type { Setting } from './setting.ts';

/** What a value of the environment says: `false` also stands for a limit that is switched off. */
export type SettingValue = string | number | boolean;

/**
 * Reads the text by the setting's kind.
 *
 * @throws StoreError `INVALID` naming the variable, the value and what is accepted.
 */
export function parseSetting(setting: Setting, text: string): SettingValue {
  const value = parseText(setting, text);
  if (value !== undefined) return value;
  throw new StoreError(
    'INVALID',
    `${setting.name} is ${displayValue(setting, text)}; accepted: ${acceptedText(setting)}`,
  );
}

/**
 * Bytes from `4096`, `512 K`, `8GiB`; undefined for anything else. `K`, `M`, `G` and `T` are the
 * powers of 1024, as for memory everywhere; `KB` and the like are refused because they are not.
 */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d{1,16})\s*(?:([KMGT])(?:iB)?)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const [, digits = '', letter = ''] = match;
  const bytes = Number(digits) * 1024 ** ' KMGT'.indexOf(letter.toUpperCase() || ' ');
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A number of bytes as people write it; `parseByteSize` reads it back exactly. */
export function formatByteSize(bytes: number): string {
  const units = ['TiB', 'GiB', 'MiB', 'KiB'];
  for (const [index, unit] of units.entries()) {
    const size = 1024 ** (units.length - index);
    if (bytes >= size && bytes % size === 0) return `${bytes / size} ${unit}`;
  }
  return String(bytes);
}

/** A whole number, as milliseconds, seconds and counts are written; undefined for anything else. */
export function parseWholeNumber(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^\d{1,16}$/.test(trimmed)) return undefined;
  const value = Number(trimmed);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `1|true|yes|on` or `0|false|no|off` in either case; undefined for anything else. */
export function parseBoolean(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  if (['1', 'true', 'yes', 'on'].includes(word)) return true;
  if (['0', 'false', 'no', 'off'].includes(word)) return false;
  return undefined;
}

/** The value that the word means, in either case; undefined for a word that is no choice. */
export function parseChoice(
  text: string,
  choices: Readonly<Record<string, string>>,
): string | undefined {
  const word = text.trim().toLowerCase();
  return Object.hasOwn(choices, word) ? choices[word] : undefined;
}

/** The value as a message may show it. */
function displayValue(setting: Setting, text: string): string {
  if (setting.isSecret === true) return '(a secret, not shown)';
  return setting.kind === 'url' ? displayUrl(text) : quote(text);
}

function parseText(setting: Setting, text: string): SettingValue | undefined {
  switch (setting.kind) {
    case 'bytes':
      return parseByteSize(text);
    case 'bytes-or-off':
      return parseByteLimit(text);
    case 'milliseconds':
    case 'seconds':
    case 'count':
      return parseWholeNumber(text);
    case 'boolean':
      return parseBoolean(text);
    case 'choice':
      return parseChoice(text, setting.choices ?? {});
    case 'text':
    case 'path':
    case 'url':
    case 'address':
    case 'list':
      return text;
    default:
      return setting.kind satisfies never;
  }
}

/** Zero is no limit too: the Rust version's budgets are off at 0, and no bucket holds 0 bytes. */
function parseByteLimit(text: string): number | false | undefined {
  if (['off', 'none'].includes(text.trim().toLowerCase())) return false;
  const bytes = parseByteSize(text);
  return bytes === 0 ? false : bytes;
}
