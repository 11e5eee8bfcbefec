import { messageOf, StoreError } from '../base/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { DirectoryObjectStore } from './directory-object-store.ts';
import { pathOfFileUrl } from './file-url.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { quoted } from './object-key.ts';
import { objectLimits } from './object-limits.ts';
import type { ObjectStore } from './object-store.ts';

const accepted = 'accepted are file:///absolute/path and memory:';

/**
 * Opens the object store that the URL names: `file:///absolute/path` (percent-encoded where it
 * must be; made by the first put) or `memory:` (empty, ends with the store). Opening asks nothing
 * of the bucket, so one that is out of reach shows in the calls.
 *
 * @throws StoreError `INVALID` naming the value and what is accepted.
 */
export function openObjectStore(url: string, platform: Platform): ObjectStore {
  if (url === 'memory:') return new MemoryObjectStore(platform.clock);
  if (/^file:/i.test(url)) return openDirectory(url, platform);
  if (/^s3:/i.test(url)) {
    throw new StoreError(
      'INVALID',
      `object store ${quoted(url)}: this version has no S3 object store yet; ${accepted}`,
    );
  }
  throw new StoreError('INVALID', `object store ${quoted(url)} is unknown; ${accepted}`);
}

function openDirectory(url: string, platform: Platform): ObjectStore {
  const store = new DirectoryObjectStore(platform, rootOfUrl(url));
  // The store counts files that it cannot remove; the rest ends with close or shows in the calls.
  store.removeLeftOvers().catch(() => undefined);
  return store;
}

function rootOfUrl(url: string): string {
  let root;
  try {
    root = pathOfFileUrl(url);
  } catch (error) {
    throw new StoreError('INVALID', `object store ${messageOf(error)}; ${accepted}`, {
      cause: error,
    });
  }
  if (Buffer.byteLength(root) <= objectLimits.rootPathBytesMax) return root;
  throw new StoreError(
    'INVALID',
    `object store ${quoted(url)}: a path of ${Buffer.byteLength(root)} bytes leaves no room for ` +
      `keys, at most ${objectLimits.rootPathBytesMax}`,
  );
}
