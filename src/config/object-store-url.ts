import { isAbsolute, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { StoreError } from '../base/errors.ts';
import { displayUrl, quote } from './display.ts';

/** The store that lives in the process and ends with it. */
export const memoryObjectStoreUrl = 'memory:';

/** What is accepted as an object store, in words that follow "accepted: ". */
export const acceptedObjectStores =
  'file:///absolute/path (percent-encoded), file://~/path below the home directory, ' +
  's3://bucket/prefix (percent-encoded, ?endpoint=http://host:port where it is not AWS), memory:';

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
  if (/^s3:/i.test(text)) return parseBucketUrl(text);
  const match = /^file:\/\/(?:localhost)?(~?\/.*)$/is.exec(text);
  if (match === null) throw refusal(text, hintFor(text));
  const [, encodedPath = ''] = match;
  if (/[?#]/.test(encodedPath)) throw refusal(text, 'write ? as %3F and # as %23 in a path');
  return objectStoreUrl(decodePath(text, encodedPath, homeDirectory));
}

/** True for the canonical URL of a bucket. */
export function isBucketUrl(url: string): boolean {
  return url.startsWith('s3:');
}

/** The canonical URL with the endpoint, when it is that of a bucket and names none. */
export function withEndpoint(url: string, endpoint: string): string {
  if (endpoint === '' || !isBucketUrl(url) || url.includes('?')) return url;
  return `${url}?endpoint=${endpoint}`;
}

/** The origin that the text names, canonical, or undefined when it is none or more than that. */
export function parseOrigin(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { protocol, username, password, pathname, search, hash, origin } = new URL(text);
  const isHttp = protocol === 'http:' || protocol === 'https:';
  return isHttp && username + password + search + hash === '' && pathname === '/'
    ? origin
    : undefined;
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

/** `objectstore/s3/s3-url.ts` reads what this makes, and refuses the same. */
function parseBucketUrl(text: string): string {
  const match = /^s3:\/\/([\w.-]{1,255})((?:\/[^?#@]*)?)(?:\?endpoint=([^&#]+))?$/is.exec(text);
  if (match === null) throw refusal(text, 'it is not s3://bucket/prefix');
  const [, bucket = '', path = '', endpoint] = match;
  const names = decodePercents(text, path).replace(/^\/|\/$/g, '');
  if (names.includes('\0')) throw refusal(text, 'a prefix holds no NUL');
  const prefix = names === '' ? '' : `/${names.split('/').map(encodeURIComponent).join('/')}`;
  if (endpoint === undefined) return `s3://${bucket}${prefix}`;
  const origin = parseOrigin(decodePercents(text, endpoint));
  if (origin === undefined) throw refusal(text, 'its endpoint is no http:// or https:// origin');
  return `s3://${bucket}${prefix}?endpoint=${origin}`;
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
    : 'it is neither file:///absolute/path nor s3://bucket/prefix nor memory:';
}

function refusal(text: string, reason: string, cause?: unknown): RangeError {
  const message = `objectStore is ${displayUrl(text)}: ${reason}`;
  return new RangeError(message, cause === undefined ? undefined : { cause });
}
