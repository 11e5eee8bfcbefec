import { isStoreError } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { limits } from '../../blocks/limits.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { namespaceObjectPrefix } from '../../format/object-keys.ts';
import { listBucket } from '../bucket.ts';
import type { Bucket } from '../bucket.ts';
import { lookAtHeader } from '../frame-look.ts';

/** A fingerprint in a namespace, and how many of the objects that were looked at name it. */
export interface SeenFingerprint {
  /** Undefined for objects that name none. */
  readonly fingerprint: string | undefined;
  readonly objects: number;
}

/** Objects whose headers are read: one listing and so many small requests. */
const sampleObjects = 16;

/** The models that the first objects of a namespace come from, the most frequent first. */
export async function sampleFingerprints(
  bucket: Bucket,
  namespace: Namespace,
): Promise<readonly SeenFingerprint[]> {
  const counts = new Map<string | undefined, number>();
  try {
    const beginning = namespaceObjectPrefix(bucket.keyPrefix, namespace);
    const { objects } = await listBucket(bucket, beginning, sampleObjects);
    const looks = await mapBounded(objects, limits.fetchesInFlightMax, (object) =>
      lookAtHeader(bucket, object),
    );
    for (const { header, verdict } of looks) {
      if (verdict !== 'sound' || header === undefined) continue;
      counts.set(header.fingerprint, (counts.get(header.fingerprint) ?? 0) + 1);
    }
  } catch (error) {
    // The answer is complete without; the object store answered a moment ago.
    if (!isStoreError(error, 'UNAVAILABLE') && !isStoreError(error, 'ABORTED')) throw error;
  }
  return [...counts]
    .map(([fingerprint, objects]) => ({ fingerprint, objects }))
    .sort((a, b) => b.objects - a.objects);
}
