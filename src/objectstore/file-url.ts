import { posix } from 'node:path';
import { pathToFileURL } from 'node:url';
import { quoted } from './object-key.ts';

/** The one URL of the directory, an absolute path without a slash at its end. */
export function fileUrlOf(path: string): string {
  return pathToFileURL(path).href;
}

/**
 * The absolute path that a `file:` URL of this machine names, without `.`, `..`, doubled slashes or
 * a slash at its end. Symbolic links stay as they are.
 *
 * @throws RangeError naming the value and what is wrong with it.
 */
export function pathOfFileUrl(url: string): string {
  const match = /^file:\/\/(?<host>[^/?#]*)(?<path>\/[^?#]*)$/i.exec(url);
  const { host = '', path = '' } = match?.groups ?? {};
  if (match === null) throw new RangeError(`${quoted(url)} is not file:// and an absolute path`);
  if (host !== '' && host.toLowerCase() !== 'localhost') {
    throw new RangeError(`${quoted(url)} names the host ${quoted(host)}, not this machine`);
  }
  const resolved = posix.resolve(decodedPath(path, url));
  if (resolved === '/') throw new RangeError(`${quoted(url)} names no directory below /`);
  return resolved;
}

function decodedPath(path: string, url: string): string {
  let decoded;
  try {
    decoded = decodeURIComponent(path);
  } catch (error) {
    throw new RangeError(`${quoted(url)} is not well percent-encoded`, { cause: error });
  }
  // Decoded, such a slash would separate two names.
  if (/%2f/i.test(path)) throw new RangeError(`${quoted(url)} has a slash in a name`);
  if (decoded.includes('\0')) throw new RangeError(`${quoted(url)} contains NUL`);
  return decoded;
}
