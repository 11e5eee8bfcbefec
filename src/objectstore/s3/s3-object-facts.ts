import { StoreError } from '../../base/errors.ts';
import { momentOf } from '../../platform/calendar.ts';
import type { HttpHead } from '../../platform/http.ts';
import type { ObjectInfo, ObjectKey } from '../object-store.ts';

/** What the head of an answer tells about an object of so many bytes. */
export function infoOfHead(key: ObjectKey, head: HttpHead, byteLength: number): ObjectInfo {
  const etag = plainEtag(requireHeader(key, head, 'etag'));
  const modifiedMs = momentOf(requireHeader(key, head, 'last-modified'));
  if (modifiedMs === undefined) throw strange(key, 'a last-modified that is no date');
  return { key, byteLength, etag, modifiedMs: wholeSeconds(modifiedMs) };
}

/**
 * The MD5 of the body, when that is what the tag is: not for uploads in parts, whose tag says how
 * many there were, and not where the server encrypts with keys that are not its own, for there the
 * tag is something else that looks the same.
 */
export function md5OfHead({ headers }: HttpHead): string | undefined {
  const etag = plainEtag(headers['etag'] ?? '').toLowerCase();
  const encryption = headers['x-amz-server-side-encryption'] ?? 'AES256';
  const isOwnKey =
    encryption === 'AES256' &&
    headers['x-amz-server-side-encryption-customer-algorithm'] === undefined &&
    headers['x-goog-encryption-kms-key-name'] === undefined;
  return isOwnKey && /^[0-9a-f]{32}$/.test(etag) ? etag : undefined;
}

/** Lists tell of milliseconds on some servers, and heads never do. */
export function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

/** The tag without its quotes: servers differ in where they put them. */
export function plainEtag(text: string): string {
  return text.replace(/^(?:W\/)?"(.*)"$/s, '$1');
}

/** The length of the body to come. Without one there is no telling whether it came whole. */
export function bodyLength(key: ObjectKey, head: HttpHead): number {
  return wholeNumber(key, requireHeader(key, head, 'content-length'), 'content-length');
}

/** What a partial answer holds. */
export interface ContentRange {
  readonly offset: number;
  readonly length: number;
  /** Of the whole object. */
  readonly byteLength: number;
}

/** Reads `bytes 0-99/1000`. */
export function contentRangeOf(key: ObjectKey, head: HttpHead): ContentRange {
  const text = requireHeader(key, head, 'content-range');
  const match = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(text);
  if (match === null) throw strange(key, `the content-range "${text}"`);
  const [offset = 0, last = 0, byteLength = 0] = match.slice(1).map(Number);
  if (last < offset || byteLength <= last) throw strange(key, `the content-range "${text}"`);
  return { offset, length: last - offset + 1, byteLength };
}

/** An answer that no S3 server should give. */
export function strange(key: string, what: string): StoreError {
  return new StoreError('UNAVAILABLE', `${key}: the server's answer has ${what}`);
}

function requireHeader(key: ObjectKey, { headers }: HttpHead, name: string): string {
  const value = headers[name];
  if (value !== undefined) return value;
  throw strange(key, `no ${name}`);
}

function wholeNumber(key: ObjectKey, text: string, name: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value)) return value;
  throw strange(key, `the ${name} "${text}"`);
}
