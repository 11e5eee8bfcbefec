import { messageOf, StoreError } from '../base/errors.ts';
import type { Platform } from '../platform/platform.ts';
import { DirectoryObjectStore } from './directory-object-store.ts';
import { pathOfFileUrl } from './file-url.ts';
import { LimitedObjectStore } from './limited-object-store.ts';
import type { ObjectStoreLimits } from './limited-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { quoted } from './object-key.ts';
import { objectLimits } from './object-limits.ts';
import type { ObjectStore } from './object-store.ts';
import type { RequestLedger } from './request-ledger.ts';
import { RetryingObjectStore } from './retrying-object-store.ts';
import { openS3 } from './s3/open-s3.ts';
import type { S3Settings } from './s3/open-s3.ts';
import { acceptedS3Url } from './s3/s3-url.ts';

const accepted = `accepted are file:///absolute/path, ${acceptedS3Url}, and memory:`;

export interface OpenObjectStoreOptions {
  /** What a bucket needs besides its URL. */
  readonly s3?: S3Settings | undefined;
  /** Gets every request that costs money. */
  readonly ledger?: RequestLedger | undefined;
  /** Bytes of bodies a second from and to a bucket; no bound where one is absent. */
  readonly bandwidth?: Pick<ObjectStoreLimits, 'readBytesPerSecond' | 'writeBytesPerSecond'>;
}

/**
 * Opens the object store that the URL names: `file:///absolute/path` (percent-encoded where it
 * must be; made by the first put), `s3://bucket/prefix` (which must be there), or `memory:` (empty,
 * ends with the store). Opening asks nothing of the bucket, so one that is out of reach shows in the
 * calls.
 *
 * @throws StoreError `INVALID` naming the value and what is accepted.
 */
export function openObjectStore(
  url: string,
  platform: Platform,
  options: OpenObjectStoreOptions = {},
): ObjectStore {
  if (url === 'memory:') return new MemoryObjectStore(platform.clock);
  if (/^file:/i.test(url)) return openDirectory(url, platform);
  if (/^s3:/i.test(url)) return openBucket(url, platform, options);
  throw new StoreError('INVALID', `object store ${quoted(url)} is unknown; ${accepted}`);
}

/** As every bucket behind a network is used: bounded, and with another try for what may pass. */
function openBucket(
  url: string,
  platform: Platform,
  { s3, ledger, bandwidth }: OpenObjectStoreOptions,
): ObjectStore {
  const bucket = openS3(url, platform, { ...s3, ledger });
  const limits = { ...objectLimits.bucketCalls, ...bandwidth };
  return new LimitedObjectStore(new RetryingObjectStore(bucket, platform), platform.clock, limits);
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
