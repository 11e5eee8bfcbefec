import { assertDefined } from '../base/assert.ts';
import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Extent } from '../cache/extent.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { ObjectBody, ObjectKey, ObjectStore } from '../objectstore/object-store.ts';

export interface ObjectSource {
  readonly objects: ObjectStore;
  readonly cache: LocalCache;
  readonly key: ObjectKey;
  readonly signal: AbortSignal;
  /** Nothing is received when the object has that tag. */
  readonly unlessEtag?: string | undefined;
}

/**
 * Gets the whole object into memory of the local tiers and hands it over; the memory is given back
 * when `use` has settled, unless it pinned it. Undefined when there is no object, `unchanged` when it has the tag.
 *
 * @throws StoreError `CORRUPT` for an object larger than any payload, before it is received.
 */
export async function getIntoExtent<Result>(
  { objects, cache, key, signal, unlessEtag }: ObjectSource,
  use: (body: ObjectBody, scratch: Extent) => Promise<Result>,
): Promise<Result | 'unchanged' | undefined> {
  let scratch: Extent | undefined;
  const allocate = (byteLength: number): Uint8Array => {
    if (byteLength > limits.payloadBytesMax) {
      throw new StoreError('CORRUPT', `object of ${byteLength} bytes is larger than any frame`);
    }
    scratch = cache.allocate(byteLength);
    return scratch.bytes;
  };
  try {
    const body = await objects.get(key, { allocate, signal, unlessEtag });
    if (body === undefined) return undefined;
    if (body.isUnchanged === true) return 'unchanged';
    return await use(body, assertDefined(scratch, 'the memory of a body'));
  } finally {
    scratch?.unpin();
  }
}
