import { isAbsolute, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { StoreError } from '../base/errors.ts';
import { displayUrl, quote } from './display.ts';

/** The store that lives in the process and ends with it. */
export const memoryObjectStoreUrl = 'memory:';

/** What is accepted as an object store, in words that follow "accepted: ". */
export const acceptedObjectStores =
  'file:///absolute/path (percent-encoded), file://~/path below the home directory, memory:';

/** The URL of the object store in that directory, which is an absolute path. */
export function objectStoreUrl(directory: string): string {
  return pathToFileURL(withoutEndSlash(normalize(directory))).href;
}

/** The directory of a canonical `file:` URL; undefined for a store that is no directory. */
export function objectStoreDirectory(url: string): string | undefined {
  return url.startsWith('file:') ? fileURLToPath(url) : undefined;
}

/**
 * The canonical form of an object store's URL.
 *
 * @throws RangeError naming `objectStore` for any other URL; credentials in it are not shown.
 */
export function parseObjectStoreUrl(text: string, homeDirectory: string): string {
  if (text.toLowerCase() === memoryObjectStoreUrl) return memoryObjectStoreUrl;
  if (/^s3:/i.test(text))
    throw refusal(text, 'this version has no S3 store, only file: and memory:');
  const match = /^file:\/\/(?:localhost)?(~?\/.*)$/is.exec(text);
  if (match === null) throw refusal(text, hintFor(text));
  const [, encodedPath = ''] = match;
  if (/[?#]/.test(encodedPath)) throw refusal(text, 'write ? as %3F and # as %23 in a path');
  return objectStoreUrl(decodePath(text, encodedPath, homeDirectory));
}

/** The path without a slash at its end; the root stays. */
export function withoutEndSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/**
 * The path with a leading `~` replaced by the home directory.
 *
 * @throws StoreError `INVALID` when that is needed and there is no home directory.
 */
export function expandHome(path: string, homeDirectory: string): string {
  if (path !== '~' && !path.startsWith('~/')) return path;
  if (isAbsolute(homeDirectory)) return join(homeDirectory, path.slice(1));
  throw new StoreError(
    'INVALID',
    `${quote(path)} needs a home directory, and it is ${quote(homeDirectory)}; set HOME, or both ` +
      'WMBT_KV_OBJECT_STORE and WMBT_KV_PUFFER_DIR',
  );
}

function decodePath(text: string, encodedPath: string, homeDirectory: string): string {
  // An encoded slash would be a separator after decoding, and no name holds a NUL.
  if (/%2f|%00/i.test(encodedPath)) throw refusal(text, 'a name holds neither / nor NUL');
  if (encodedPath.includes('\0')) throw refusal(text, 'a path holds no NUL');
  return expandHome(decodePercents(text, encodedPath), homeDirectory);
}

function decodePercents(text: string, encodedPath: string): string {
  try {
    return decodeURIComponent(encodedPath);
  } catch (cause) {
    throw refusal(text, 'its percent-encoding is broken', cause);
  }
}

function hintFor(text: string): string {
  return isAbsolute(text)
    ? `write ${displayUrl(objectStoreUrl(text))}`
    : 'it is neither file:///absolute/path nor memory:';
}

function refusal(text: string, reason: string, cause?: unknown): RangeError {
  const message = `objectStore is ${displayUrl(text)}: ${reason}`;
  return new RangeError(message, cause === undefined ? undefined : { cause });
}
