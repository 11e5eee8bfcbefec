import { isAbsolute, normalize } from 'node:path';
import { limits } from '../blocks/limits.ts';
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Host } from '../platform/platform.ts';
import { quote } from './display.ts';
import { expandHome, parseObjectStoreUrl, withoutEndSlash } from './object-store-url.ts';

const gib = 1024 ** 3;

/** The smallest budget that holds anything; below it the unit was forgotten. */
const budgetBytesMin = limits.extentBytesUnit;
/** The longest time that a timer of Node holds. */
const millisecondsMax = 2 ** 31 - 1;
/** Leaves half of an object key for the namespace and the names that the format adds. */
const keyPrefixBytesMax = limits.objectKeyBytesMax / 2;
const compressionLevelMax = 22;

const encoder = new TextEncoder();

/**
 * How each field of the configuration comes to its final form. Undefined gives the default; a value
 * of the wrong type is a TypeError, one out of range a RangeError, and both name the field.
 */
export const fieldResolvers = {
  namespace: (value: unknown): Namespace => {
    const name = textField('namespace', value, defaultNamespaceName);
    return parseNamespace(name === '' ? defaultNamespaceName : name);
  },
  objectStore: (value: unknown, host: Host): string => {
    const text = textField('objectStore', value, 'file://~/.wombatkv/objects');
    return parseObjectStoreUrl(text, host.homeDirectory);
  },
  objectStoreBytesMax: (value: unknown): number | false =>
    value === false ? false : budgetField('objectStoreBytesMax', value, 20 * gib),
  keyPrefix: (value: unknown): string => {
    const prefix = textField('keyPrefix', value, 'kv/cabi').replace(/^\/|\/$/g, '');
    checkKeyPrefix(prefix);
    return prefix;
  },
  cacheDirectory: (value: unknown, host: Host): string | false => {
    if (value === false) return false;
    const text = textField('cacheDirectory', value, '~/.wombatkv/puffer');
    const path = expandHome(text, host.homeDirectory);
    if (!isAbsolute(path) || path.includes('\0')) {
      throw new RangeError(
        `cacheDirectory must be an absolute path, or one that begins with ~/; got ${quote(text)}`,
      );
    }
    return withoutEndSlash(normalize(path));
  },
  memoryBytes: (value: unknown): number => budgetField('memoryBytes', value, gib),
  diskBytes: (value: unknown): number =>
    value === 0 ? 0 : budgetField('diskBytes', value, 8 * gib),
  compression: (value: unknown): 'zstd' | 'off' => {
    const text = textField('compression', value, 'zstd');
    if (text === 'zstd' || text === 'off') return text;
    throw new RangeError(`compression must be 'zstd' or 'off'; got ${quote(text)}`);
  },
  compressionLevel: (value: unknown): number =>
    numberField('compressionLevel', value, { default: 1, least: 1, most: compressionLevelMax }),
  putDurable: (value: unknown): boolean => {
    if (value === undefined) return false;
    if (typeof value !== 'boolean') throw wrongType('putDurable', 'a boolean', value);
    return value;
  },
  lookupDeadlineMs: (value: unknown): number => deadlineField('lookupDeadlineMs', value, 250),
  loadDeadlineMs: (value: unknown): number => deadlineField('loadDeadlineMs', value, 10_000),
  callDeadlineMsMax: (value: unknown): number => deadlineField('callDeadlineMsMax', value, 30_000),
} as const;

/** The error for a value of the wrong type. The value itself is not shown: it may be anything. */
export function wrongType(field: string, expected: string, value: unknown): TypeError {
  return new TypeError(
    `${field} must be ${expected}; got ${value === null ? 'null' : typeof value}`,
  );
}

function textField(field: string, value: unknown, defaultText: string): string {
  if (value === undefined) return defaultText;
  if (typeof value !== 'string') throw wrongType(field, 'a string', value);
  return value;
}

function numberField(
  field: string,
  value: unknown,
  range: { readonly default: number; readonly least: number; readonly most: number },
): number {
  if (value === undefined) return range.default;
  if (typeof value !== 'number') throw wrongType(field, 'a number', value);
  if (Number.isSafeInteger(value) && value >= range.least && value <= range.most) return value;
  throw new RangeError(
    `${field} must be a whole number from ${range.least} to ${range.most}; got ${value}`,
  );
}

function budgetField(field: string, value: unknown, defaultBytes: number): number {
  const range = { default: defaultBytes, least: budgetBytesMin, most: Number.MAX_SAFE_INTEGER };
  return numberField(field, value, range);
}

function deadlineField(field: string, value: unknown, defaultMs: number): number {
  return numberField(field, value, { default: defaultMs, least: 1, most: millisecondsMax });
}

/** An empty prefix is none. Parts that tools take for a path's own are refused. */
function checkKeyPrefix(prefix: string): void {
  const byteLength = encoder.encode(prefix).length;
  if (byteLength > keyPrefixBytesMax) {
    throw new RangeError(
      `keyPrefix must have at most ${keyPrefixBytesMax} bytes; got ${byteLength}: ${quote(prefix)}`,
    );
  }
  const isOrdinary =
    prefix === '' || prefix.split('/').every((part) => !['', '.', '..'].includes(part));
  if (!isOrdinary || /[\p{Cc}\p{Surrogate}]/u.test(prefix)) {
    throw new RangeError(
      'keyPrefix must be names joined by single slashes, none of them . or .., without control ' +
        `characters; got ${quote(prefix)}`,
    );
  }
}
