import { BoundedMap } from '../base/bounded-map.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadFacts } from '../cache/cache-entry.ts';
import type { Extent } from '../cache/extent.ts';
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
import type { ObjectBody, ObjectInfo, ObjectKey, PutResult } from '../objectstore/object-store.ts';
import { getIntoExtent } from './get-into-extent.ts';
import { absent, fetchedFrom, judgeObject } from './judge-object.ts';
import type {
  ChainHint,
  FetchedPayload,
  Found,
  PayloadObjects,
  PayloadObjectsParts,
  PayloadPutOptions,
  PayloadRef,
  StoredPayload,
} from './payload-objects.ts';
import type { EncodedPayload } from './encode-now.ts';

/** Payloads as frames: the format of this version, with checksums bound to namespace and key. */
export class FrameObjects implements PayloadObjects {
  readonly format = 'v2';
  readonly #parts: PayloadObjectsParts;
  readonly #digests = new BoundedMap<Namespace, Uint8Array>(limits.namespacesRememberedMax);

  constructor(parts: PayloadObjectsParts) {
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

  async readHint(ref: PayloadRef, signal: AbortSignal): Promise<Found<ChainHint>> {
    const range = { offset: 0, length: limits.frameHeaderBytesMax };
    const body = await this.#parts.objects.get(this.objectKey(ref), { range, signal });
    if (body === undefined) return absent;
    return judgeObject(this.#named(body), async () => {
      const header = decodeFrameHeader(body.bytes);
      this.#check(header, ref, body.info.byteLength);
      return header;
    });
  }

  head(ref: PayloadRef, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    return this.#parts.objects.head(this.objectKey(ref), { signal });
  }

  async fetch(
    ref: PayloadRef,
    signal: AbortSignal,
    unlessEtag?: string,
  ): Promise<Found<FetchedPayload | 'unchanged'>> {
    const { objects, cache } = this.#parts;
    const source = { objects, cache, key: this.objectKey(ref), signal, unlessEtag };
    const found = await getIntoExtent(source, (body, scratch) =>
      judgeObject(this.#named(body), () => this.#open(ref, body, scratch)),
    );
    return fetchedFrom(this.format, found);
  }

  async put(stored: StoredPayload, options: PayloadPutOptions): Promise<PutResult> {
    const { objects, transcoder, compression } = this.#parts;
    const { facts, payload } = stored;
    const encoded = await transcoder.encode({ payload, crc: facts.crc, ...compression });
    try {
      const bytes = encoded.stored ?? payload;
      const header = encodeFrameHeader(this.#headerOf(stored, encoded, bytes.length));
      return await objects.put(this.objectKey(facts), [header, bytes], options);
    } finally {
      encoded.release?.();
    }
  }

  #named({ info }: ObjectBody): { readonly format: 'v2'; readonly etag: string } {
    return { format: this.format, etag: info.etag };
  }

  async #open(ref: PayloadRef, body: ObjectBody, scratch: Extent): Promise<FetchedPayload> {
    const { cache, transcoder } = this.#parts;
    let target: Extent | undefined;
    try {
      const header = decodeFrameHeader(body.bytes);
      this.#check(header, ref, body.bytes.length);
      const stored = body.bytes.subarray(frameHeaderLength(header.following.length));
      if (header.codec !== 'raw') target = cache.allocate(header.rawLength);
      await transcoder.decode({ header, stored, target: target?.bytes });
      const extent = target ?? scratch;
      extent.pin();
      return {
        facts: factsOf(header, ref),
        extent,
        payload: target?.bytes ?? stored,
        etag: body.info.etag,
        following: header.following,
      };
    } finally {
      target?.unpin();
    }
  }

  #headerOf(
    { facts, following }: StoredPayload,
    encoded: EncodedPayload,
    storedLength: number,
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

  #check(header: FrameHeader, ref: PayloadRef, byteLength: number): void {
    const namespaceDigest = this.#digestOf(ref.namespace);
    checkFrame(header, { kind: ref.kind, key: ref.key, namespaceDigest, byteLength });
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
