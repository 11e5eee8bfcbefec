import { isAbsolute, normalize } from 'node:path';
import { limits } from '../blocks/limits.ts';
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Host } from '../platform/platform.ts';
import { displayUrl, quote } from './display.ts';
import {
  expandHome,
  parseObjectStoreUrl,
  parseOrigin,
  withoutEndSlash,
} from './object-store-url.ts';

const gib = 1024 ** 3;

/** The smallest budget that holds anything; below it the unit was forgotten. */
const budgetBytesMin = limits.extentBytesUnit;
/** Less would be a mistaken unit, and uploads that wait for each other would end by their deadline. */
const bytesPerSecondMin = 1024 ** 2;
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
  cacheDirectory: (value: unknown, host: Host): string | false =>
    value === false
      ? false
      : pathField('cacheDirectory', textField('cacheDirectory', value, '~/.wombatkv/puffer'), host),
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
  readV1: (value: unknown): 'auto' | 'on' | 'off' => {
    const text = textField('readV1', value, 'auto');
    if (text === 'auto' || text === 'on' || text === 'off') return text;
    throw new RangeError(`readV1 must be 'auto', 'on' or 'off'; got ${quote(text)}`);
  },
  writeFormat: (value: unknown): 'v1' | 'v2' => {
    const text = textField('writeFormat', value, 'v2');
    if (text === 'v1' || text === 'v2') return text;
    throw new RangeError(`writeFormat must be 'v1' or 'v2'; got ${quote(text)}`);
  },
  putDurable: (value: unknown): boolean => booleanField('putDurable', value),
  lookupDeadlineMs: (value: unknown): number => deadlineField('lookupDeadlineMs', value, 250),
  loadDeadlineMs: (value: unknown): number => deadlineField('loadDeadlineMs', value, 10_000),
  callDeadlineMsMax: (value: unknown): number => deadlineField('callDeadlineMsMax', value, 30_000),
  native: (value: unknown): 'auto' | 'off' => {
    const text = textField('native', value, 'auto');
    if (text === 'auto' || text === 'off') return text;
    throw new RangeError(`native must be 'auto' or 'off'; got ${quote(text)}`);
  },
  bucket: (value: unknown): string => {
    const bucket = textField('bucket', value, '');
    if (/^[\w.-]{0,255}$/.test(bucket)) return bucket;
    throw new RangeError(`bucket must be the name of an S3 bucket; got ${quote(bucket)}`);
  },
  s3Endpoint: (value: unknown): string => {
    const endpoint = textField('s3Endpoint', value, '');
    const origin = endpoint === '' ? '' : parseOrigin(endpoint);
    if (origin !== undefined) return origin;
    const shown = displayUrl(endpoint);
    throw new RangeError(`s3Endpoint must be http(s)://host:port and nothing else; got ${shown}`);
  },
  s3AccessKey: (value: unknown): string => textField('s3AccessKey', value, ''),
  s3SecretKey: (value: unknown): string => textField('s3SecretKey', value, ''),
  s3Region: (value: unknown): string => {
    const region = textField('s3Region', value, 'us-east-1');
    if (/^[a-z0-9-]{1,64}$/i.test(region)) return region;
    throw new RangeError(`s3Region must be letters, digits and hyphens; got ${quote(region)}`);
  },
  s3CaFile: (value: unknown, host: Host): string => {
    const text = textField('s3CaFile', value, '');
    return text === '' ? '' : pathField('s3CaFile', text, host);
  },
  s3PathStyle: (value: unknown): 'auto' | 'on' | 'off' => {
    const text = textField('s3PathStyle', value, 'auto');
    if (text === 'auto' || text === 'on' || text === 'off') return text;
    throw new RangeError(`s3PathStyle must be 'auto', 'on' or 'off'; got ${quote(text)}`);
  },
  s3ReadBytesPerSecond: (value: unknown): number | false =>
    rateField('s3ReadBytesPerSecond', value),
  s3WriteBytesPerSecond: (value: unknown): number | false =>
    rateField('s3WriteBytesPerSecond', value),
  localDevelopment: (value: unknown): boolean => booleanField('localDevelopment', value),
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

function booleanField(field: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw wrongType(field, 'a boolean', value);
  return value;
}

function pathField(field: string, text: string, host: Host): string {
  const path = expandHome(text, host.homeDirectory);
  if (isAbsolute(path) && !path.includes('\0')) return withoutEndSlash(normalize(path));
  throw new RangeError(
    `${field} must be an absolute path, or one that begins with ~/; got ${quote(text)}`,
  );
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

/** No bound by default, and where it says so. */
function rateField(field: string, value: unknown): number | false {
  if (value === undefined || value === false) return false;
  const range = { default: 0, least: bytesPerSecondMin, most: Number.MAX_SAFE_INTEGER };
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
