import { BoundedMap } from '../base/bounded-map.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { MissReason } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadFacts, PayloadId } from '../cache/cache-entry.ts';
import type { Extent } from '../cache/extent.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { Catalog } from '../catalog/catalog.ts';
import {
  boundCrc,
  checkFrame,
  decodeFrameHeader,
  encodeFrameHeader,
  frameHeaderLength,
  namespaceDigestOf,
} from '../format/frame.ts';
import type { FrameHeader } from '../format/frame.ts';
import { blockObjectKey, rawTailObjectKey, tailObjectKey } from '../format/object-keys.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import type { ObjectBody, ObjectKey, ObjectStore } from '../objectstore/object-store.ts';
import type { Counters } from './counters.ts';
import type { Transcoder } from './transcoder.ts';

/** Names a payload in the object store; a tail's object key needs its tip and token count too. */
export interface PayloadRef extends PayloadId {
  /** Tail: its tip. Otherwise not looked at. */
  readonly parent: BlockKey | undefined;
  /** Tail: its number of tokens. Otherwise not looked at. */
  readonly tokens: number;
}

/** A verified payload from the object store, pinned for the caller. */
export interface FetchedPayload {
  readonly facts: PayloadFacts;
  readonly extent: Extent;
  readonly payload: Uint8Array;
  readonly etag: string;
  /** Blocks that follow it in its chain, as its header lists them. */
  readonly following: readonly BlockKey[];
}

export interface ObjectTierParts {
  readonly objects: ObjectStore;
  readonly keyPrefix: string;
  readonly transcoder: Transcoder;
  readonly catalog: Catalog;
  readonly cache: LocalCache;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly compression: { readonly compress: boolean; readonly level: number };
}

/**
 * The object tier: frames in the bucket. Tells the catalog what every answer means, and lets no byte
 * pass that fails a check.
 */
export class ObjectTier {
  readonly #parts: ObjectTierParts;
  readonly #digests = new BoundedMap<Namespace, Uint8Array>(limits.namespacesRememberedMax);

  constructor(parts: ObjectTierParts) {
    this.#parts = parts;
  }

  objectKey(ref: PayloadRef): ObjectKey {
    const { keyPrefix } = this.#parts;
    const { namespace, key } = ref;
    switch (ref.kind) {
      case 'block':
        return parseObjectKey(blockObjectKey(keyPrefix, namespace, key));
      case 'raw-tail':
        return parseObjectKey(rawTailObjectKey(keyPrefix, namespace, key));
      case 'tail': {
        if (ref.parent === undefined) throw new RangeError(`tail ${key} has no tip`);
        const text = tailObjectKey(keyPrefix, namespace, ref.parent, ref.tokens, key);
        return parseObjectKey(text);
      }
      default:
        return ref.kind satisfies never;
    }
  }

  /** The keys that the block's header lists, or undefined when there is no sound object. */
  async readFollowing(ref: PayloadRef, signal: AbortSignal): Promise<FrameHeader | undefined> {
    const { objects, catalog } = this.#parts;
    if (catalog.corruptEtag(ref) !== undefined) return undefined;
    const range = { offset: 0, length: limits.frameHeaderBytesMax };
    const body = await objects.get(this.objectKey(ref), { range, signal });
    if (body === undefined) {
      catalog.deny(ref);
      return undefined;
    }
    try {
      const header = decodeFrameHeader(body.bytes);
      this.#check(header, ref, body.info.byteLength);
      catalog.confirm(ref);
      return header;
    } catch (error) {
      this.#condemn(ref, body.info.etag, error);
      return undefined;
    }
  }

  /** Asks whether the object is there. Its bytes are not looked at. */
  async confirm(ref: PayloadRef, signal: AbortSignal): Promise<boolean> {
    const { objects, catalog } = this.#parts;
    const info = await objects.head(this.objectKey(ref), { signal });
    if (info === undefined) {
      catalog.deny(ref);
      return false;
    }
    if (catalog.corruptEtag(ref) === info.etag) return false;
    catalog.confirm(ref);
    return true;
  }

  /** The tag of the object now, or undefined when it is absent. */
  async etag(ref: PayloadRef, signal: AbortSignal): Promise<string | undefined> {
    return (await this.#parts.objects.head(this.objectKey(ref), { signal }))?.etag;
  }

  /** The payload, verified and pinned, or why it cannot be had. */
  async fetch(ref: PayloadRef, signal: AbortSignal): Promise<FetchedPayload | MissReason> {
    const { objects, cache, catalog } = this.#parts;
    if (catalog.corruptEtag(ref) !== undefined) return 'corrupt';
    if (catalog.isAbsent(ref)) return catalog.absenceReason(ref);
    let scratch: Extent | undefined;
    const allocate = (byteLength: number): Uint8Array => {
      if (byteLength > limits.payloadBytesMax) {
        throw new StoreError('CORRUPT', `object of ${byteLength} bytes is larger than any frame`);
      }
      scratch = cache.allocate(byteLength);
      return scratch.bytes;
    };
    try {
      const body = await objects.get(this.objectKey(ref), { allocate, signal });
      if (body !== undefined && scratch !== undefined) return await this.#open(ref, body, scratch);
      catalog.deny(ref);
      return catalog.absenceReason(ref);
    } catch (error) {
      return this.#reasonOf(error);
    } finally {
      scratch?.unpin();
    }
  }

  /**
   * Stores the payload. `present`: another object is there already, which serves as well. A corrupt
   * object that is remembered is replaced, if it is still the same.
   *
   * @throws StoreError `CORRUPT` when the payload fails its checksum, else what the bucket threw.
   */
  async put(
    facts: PayloadFacts,
    payload: Uint8Array,
    following: readonly BlockKey[],
    signal: AbortSignal,
  ): Promise<void> {
    const { objects, catalog, transcoder, compression } = this.#parts;
    const encoded = await transcoder.encode({ payload, crc: facts.crc, ...compression });
    const stored = encoded.stored ?? payload;
    const header = encodeFrameHeader(this.#headerOf(facts, encoded, stored.length, following));
    const etag = catalog.corruptEtag(facts);
    const ifSame =
      etag === undefined ? { kind: 'if-absent' as const } : { kind: 'if-match' as const, etag };
    const condition = facts.kind === 'raw-tail' ? undefined : ifSame;
    const parts = [header, stored];
    const { outcome } = await objects.put(this.objectKey(facts), parts, { condition, signal });
    if (outcome === 'changed') {
      // The corrupt object was replaced or deleted: what is there by now serves, else this payload.
      const ifAbsent = { kind: 'if-absent' as const };
      await objects.put(this.objectKey(facts), parts, { condition: ifAbsent, signal });
    }
    catalog.confirm(facts);
  }

  #headerOf(
    facts: PayloadFacts,
    encoded: Pick<FrameHeader, 'codec' | 'filter'> & { readonly crcOfStored: number },
    storedLength: number,
    following: readonly BlockKey[],
  ): FrameHeader {
    const { kind, key, parent, fingerprint, tokens, position, hasDecodedTokens } = facts;
    const namespaceDigest = this.#digestOf(facts.namespace);
    return {
      ...{ kind, key, parent, fingerprint, tokens, position, hasDecodedTokens },
      codec: encoded.codec,
      filter: encoded.filter,
      rawLength: facts.length,
      storedLength,
      rawCrc: facts.crc,
      storedCrc: boundCrc(namespaceDigest, key, storedLength, encoded.crcOfStored),
      namespaceDigest,
      following,
    };
  }

  async #open(
    ref: PayloadRef,
    body: ObjectBody,
    scratch: Extent,
  ): Promise<FetchedPayload | MissReason> {
    const { cache, transcoder, catalog } = this.#parts;
    let target: Extent | undefined;
    try {
      const header = decodeFrameHeader(body.bytes);
      this.#check(header, ref, body.bytes.length);
      const stored = body.bytes.subarray(frameHeaderLength(header.following.length));
      if (header.codec !== 'raw') target = cache.allocate(header.rawLength);
      await transcoder.decode({ header, stored, target: target?.bytes });
      catalog.confirm(ref);
      const extent = target ?? scratch;
      extent.pin();
      return {
        facts: factsOf(header, ref),
        extent,
        payload: target?.bytes ?? stored,
        etag: body.info.etag,
        following: header.following,
      };
    } catch (error) {
      return this.#condemn(ref, body.info.etag, error);
    } finally {
      target?.unpin();
    }
  }

  #check(header: FrameHeader, ref: PayloadRef, byteLength: number): void {
    const namespaceDigest = this.#digestOf(ref.namespace);
    checkFrame(header, { kind: ref.kind, key: ref.key, namespaceDigest, byteLength });
  }

  /** What a failed check means. A newer version's object is left as it is. */
  #condemn(ref: PayloadRef, etag: string, error: unknown): MissReason {
    if (!isStoreError(error, 'CORRUPT')) return this.#reasonOf(error);
    const { catalog, counters, logger } = this.#parts;
    catalog.condemn(ref, etag);
    counters.corrupt += 1;
    logger.error('object tier: an object is corrupt', {
      object: this.objectKey(ref),
      reason: messageOf(error),
    });
    return 'corrupt';
  }

  #reasonOf(error: unknown): MissReason {
    if (!isStoreError(error)) throw error;
    const { counters } = this.#parts;
    switch (error.code) {
      case 'CORRUPT':
        counters.corrupt += 1;
        return 'corrupt';
      case 'INCOMPATIBLE':
        return 'incompatible';
      case 'ABORTED':
        return 'deadline';
      case 'CLOSED':
        return 'closed';
      default:
        counters.lastFailure = error.message;
        return 'unavailable';
    }
  }

  #digestOf(namespace: Namespace): Uint8Array {
    let digest = this.#digests.get(namespace);
    if (digest === undefined) {
      digest = namespaceDigestOf(namespace);
      this.#digests.set(namespace, digest);
    }
    return digest;
  }
}

function factsOf(header: FrameHeader, { namespace, parent: tip }: PayloadRef): PayloadFacts {
  const { kind, key, fingerprint, tokens, position, hasDecodedTokens } = header;
  // A header cannot tell a tip of zeros from none; a tail's reference has its tip.
  const parent = header.parent ?? tip;
  const known = { kind, key, parent, fingerprint, tokens, position, hasDecodedTokens };
  return { ...known, namespace, length: header.rawLength, crc: header.rawCrc };
}
