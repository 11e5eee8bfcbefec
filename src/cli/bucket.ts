import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import {
  claimObjectPrefix,
  decodeNamespace,
  parseLegacyKey,
  parseObjectKey,
} from '../format/object-keys.ts';
import type { ParsedLegacyKey, ParsedObjectKey } from '../format/object-keys.ts';
import { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import type { ObjectStoreMeter } from '../objectstore/metered-object-store.ts';
import { RequestLedger } from '../objectstore/request-ledger.ts';
import { objectLimits } from '../objectstore/object-limits.ts';
import type { ObjectInfo, ObjectPage, ObjectStore } from '../objectstore/object-store.ts';
import type { Clock } from '../platform/clock.ts';
import type { Platform } from '../platform/platform.ts';
import { openBucket } from '../open-bucket.ts';
import { Call } from '../store/call.ts';

/** The object store as the commands look at it: without a cache, and without changing anything. */
export interface Bucket {
  readonly objects: ObjectStore;
  /** What the command asked of it so far. */
  readonly meter?: () => ObjectStoreMeter;
  readonly keyPrefix: string;
  readonly clock: Clock;
  /** Milliseconds for one request, instead of the usual. */
  readonly requestMs?: number;
}

/**
 * What an object is by its name. `v1`: written by the Rust WombatKV. `other`: not ours, or not by
 * a version that we know.
 */
export type ObjectKind = ParsedObjectKey['kind'] | 'v1' | 'other';

export interface BucketObject {
  readonly info: ObjectInfo;
  readonly kind: ObjectKind;
  /** Undefined when the name does not tell. */
  readonly namespace: Namespace | undefined;
  /** What the name says; undefined for `v1` and `other`. */
  readonly name: ParsedObjectKey | undefined;
  /** What the name of an object of the v1 format says. */
  readonly legacyName?: ParsedLegacyKey | undefined;
}

export interface Listing {
  readonly objects: readonly BucketObject[];
  /** True when there are more objects than were asked for. */
  readonly isCut: boolean;
}

/** Runs the task on the object store of the configuration and closes it. */
export async function withBucket<Result>(
  platform: Platform,
  config: ResolvedStoreConfig,
  task: (bucket: Bucket) => Promise<Result>,
): Promise<Result> {
  const ledger = new RequestLedger();
  const objects = new MeteredObjectStore(await openBucket(config, platform, ledger), ledger);
  const meter = (): ObjectStoreMeter => objects.snapshot();
  try {
    return await task({ objects, meter, keyPrefix: config.keyPrefix, clock: platform.clock });
  } finally {
    await objects.close();
  }
}

/** Runs a request of the bucket, which ends with `ABORTED` when it takes too long. */
export function request<Result>(
  { clock, requestMs = limits.collectRequestMs }: Bucket,
  send: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  return Call.run(clock, undefined, requestMs, ({ signal }) => send(signal));
}

/** Objects whose key begins so, in key order: at most so many. */
export async function listBucket(
  bucket: Bucket,
  beginning: string,
  objectsMax: number,
): Promise<Listing> {
  const found: BucketObject[] = [];
  let startAfter: string | undefined;
  while (found.length < objectsMax) {
    const limit = Math.min(objectLimits.pageObjectsMax, objectsMax - found.length);
    const after = startAfter;
    const page = await request(bucket, (signal) =>
      bucket.objects.list(beginning, { startAfter: after, limit, signal }),
    );
    found.push(...payloadsOf(bucket, page));
    if (!page.isTruncated) return { objects: found, isCut: false };
    startAfter = page.objects.at(-1)?.key;
  }
  return { objects: found, isCut: true };
}

/** All objects whose key begins so, in key order, a page at a time. */
export async function* pagesOf(
  bucket: Bucket,
  beginning: string,
): AsyncGenerator<readonly BucketObject[], void, undefined> {
  let startAfter: string | undefined;
  for (;;) {
    const after = startAfter;
    const page = await request(bucket, (signal) =>
      bucket.objects.list(beginning, { startAfter: after, signal }),
    );
    yield payloadsOf(bucket, page);
    startAfter = page.objects.at(-1)?.key;
    if (!page.isTruncated || startAfter === undefined) return;
  }
}

/** Claims of room come and go, and hold nothing that anybody looks for. */
function payloadsOf(bucket: Bucket, { objects }: ObjectPage): readonly BucketObject[] {
  const claims = claimObjectPrefix(bucket.keyPrefix);
  const others = objects.filter(({ key }) => !key.startsWith(claims));
  return others.map((info) => describeObject(bucket, info));
}

/** What the name of the object says. */
export function describeObject({ keyPrefix }: Bucket, info: ObjectInfo): BucketObject {
  const name = parseObjectKey(keyPrefix, info.key);
  if (name !== undefined) return { info, kind: name.kind, namespace: name.namespace, name };
  const legacyName = parseLegacyKey(keyPrefix, info.key);
  if (legacyName !== undefined) {
    return { info, kind: 'v1', namespace: legacyName.namespace, name, legacyName };
  }
  const start = allObjectsPrefix(keyPrefix);
  const [encoded = '', ...rest] = info.key.slice(start.length).split('/');
  const isOurs = info.key.startsWith(start) && rest[0] === 'wombatkv';
  const kind = isOurs && rest[1] === 'v1' ? 'v1' : 'other';
  return { info, kind, namespace: isOurs ? decodeNamespace(encoded) : undefined, name };
}

/** What every key under the prefix of the settings begins with. */
export function allObjectsPrefix(keyPrefix: string): string {
  return keyPrefix === '' ? '' : `${keyPrefix}/`;
}
