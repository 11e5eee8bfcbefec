import { StoreError } from '../base/errors.ts';
import type { PayloadFacts } from '../cache/cache-entry.ts';
import type { Extent } from '../cache/extent.ts';
import { isLargeValueManifest, splitLegacyBody } from '../format/legacy.ts';
import { legacyBlockObjectKey, legacyRawTailObjectKey } from '../format/object-keys.ts';
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

/**
 * Payloads as objects of the v1 format, which the Rust WombatKV reads and writes. They have no
 * header: nothing is known of such a payload but its bytes, and these are checked as far as
 * docs/FORMAT.md says.
 */
export class LegacyObjects implements PayloadObjects {
  readonly format = 'v1';
  readonly #parts: PayloadObjectsParts;

  constructor(parts: PayloadObjectsParts) {
    this.#parts = parts;
  }

  /** A tail that is bound to its tokens has no place in this format. */
  objectKey({ kind, namespace, key }: PayloadRef): ObjectKey | undefined {
    const { keyPrefix } = this.#parts;
    switch (kind) {
      case 'block':
        return parseObjectKey(legacyBlockObjectKey(keyPrefix, namespace, key));
      case 'raw-tail':
        return parseObjectKey(legacyRawTailObjectKey(keyPrefix, namespace, key));
      case 'tail':
        return undefined;
      default:
        return kind satisfies never;
    }
  }

  /**
   * True when the format can say of the payload all that must be known of it. The mark of decoded
   * tokens would be lost, and with it the exactness of a restore; and what looks like a manifest
   * would be taken for one.
   */
  canHold({ kind, hasDecodedTokens }: PayloadFacts, payload: Uint8Array): boolean {
    return kind !== 'tail' && !hasDecodedTokens && !isLargeValueManifest(payload);
  }

  async readHint(ref: PayloadRef, signal: AbortSignal): Promise<Found<ChainHint>> {
    if ((await this.head(ref, signal)) === undefined) return absent;
    return { state: 'there', format: 'v1', value: { parent: undefined, following: [] } };
  }

  async head(ref: PayloadRef, signal: AbortSignal): Promise<ObjectInfo | undefined> {
    const key = this.objectKey(ref);
    return key === undefined ? undefined : this.#parts.objects.head(key, { signal });
  }

  async fetch(
    ref: PayloadRef,
    signal: AbortSignal,
    unlessEtag?: string,
  ): Promise<Found<FetchedPayload | 'unchanged'>> {
    const { objects, cache } = this.#parts;
    const key = this.objectKey(ref);
    if (key === undefined) return absent;
    const source = { objects, cache, key, signal, unlessEtag };
    const found = await getIntoExtent(source, (body, scratch) => {
      const named = { format: this.format, etag: body.info.etag } as const;
      return judgeObject(named, () => this.#open(ref, body, scratch));
    });
    return fetchedFrom(this.format, found);
  }

  async put({ facts, payload }: StoredPayload, options: PayloadPutOptions): Promise<PutResult> {
    const { objects, transcoder, compression } = this.#parts;
    const key = this.objectKey(facts);
    if (key === undefined) throw new RangeError(`a ${facts.kind} has no v1 form`);
    const body = await transcoder.encodeLegacy({ payload, crc: facts.crc, ...compression });
    return objects.put(key, [body ?? payload], options);
  }

  async #open(ref: PayloadRef, body: ObjectBody, scratch: Extent): Promise<FetchedPayload> {
    const { cache, transcoder } = this.#parts;
    let target: Extent | undefined;
    try {
      const { codec, content, rawLength } = splitLegacyBody(body.bytes);
      if (codec !== 'raw') target = cache.allocate(rawLength);
      const task = { body: body.bytes, md5: body.md5, target: target?.bytes };
      const crc = await transcoder.decodeLegacy(task);
      const payload = target?.bytes ?? content;
      if (isLargeValueManifest(payload)) {
        const what = `v1 object of ${ref.key} stands for a value stored in pieces`;
        throw new StoreError('INCOMPATIBLE', `${what}, which this version does not read`);
      }
      const extent = target ?? scratch;
      extent.pin();
      return {
        facts: factsOf(ref, rawLength, crc),
        extent,
        payload,
        etag: body.info.etag,
        following: [],
      };
    } finally {
      target?.unpin();
    }
  }
}

function factsOf(ref: PayloadRef, length: number, crc: number): PayloadFacts {
  const { namespace, kind, key } = ref;
  const unknown = { parent: undefined, fingerprint: undefined, tokens: 0, position: undefined };
  return { namespace, kind, key, ...unknown, hasDecodedTokens: false, length, crc };
}
