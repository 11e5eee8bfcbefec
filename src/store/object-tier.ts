import { assert } from '../base/assert.ts';
import { BoundedMap } from '../base/bounded-map.ts';
import { isStoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { MissReason } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadFacts } from '../cache/cache-entry.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ObjectFormat } from '../format/object-keys.ts';
import type { ObjectInfo, ObjectKey } from '../objectstore/object-store.ts';
import type { Clock } from '../platform/clock.ts';
import type { Counters } from './counters.ts';
import { FrameObjects } from './frame-objects.ts';
import { absent } from './judge-object.ts';
import { LegacyNamespaces } from './legacy-namespaces.ts';
import type { ReadLegacy } from './legacy-namespaces.ts';
import { LegacyObjects } from './legacy-objects.ts';
import type {
  ChainHint,
  FetchedPayload,
  Found,
  PayloadObjects,
  PayloadObjectsParts,
  PayloadRef,
} from './payload-objects.ts';

export interface ObjectTierParts extends PayloadObjectsParts {
  readonly clock: Clock;
  readonly catalog: Catalog;
  readonly counters: Counters;
  readonly logger: Logger;
  /** Whether payloads are looked for in the v1 format too. */
  readonly readLegacy: ReadLegacy;
  /** What new payloads are stored as, where the format can hold them. */
  readonly writeFormat: ObjectFormat;
}

/**
 * The object tier: payloads in the bucket, in either format. Tells the catalog what every answer
 * means, and lets no byte pass that fails a check.
 *
 * A payload is looked for in the format in which the last one of its namespace was found, and then
 * in the other, where there may be one: an object of either serves. Of a raw tail the newer one
 * counts.
 */
export class ObjectTier {
  readonly #parts: ObjectTierParts;
  readonly #frames: FrameObjects;
  readonly #legacy: LegacyObjects;
  readonly #legacyNamespaces: LegacyNamespaces;
  /** In which format the last block of a namespace was found. */
  readonly #lastFormats = new BoundedMap<Namespace, ObjectFormat>(limits.namespacesRememberedMax);

  constructor(parts: ObjectTierParts) {
    this.#parts = parts;
    this.#frames = new FrameObjects(parts);
    this.#legacy = new LegacyObjects(parts);
    this.#legacyNamespaces = new LegacyNamespaces(parts);
  }

  /** The key of the payload's object in our own format. */
  objectKey(ref: PayloadRef): ObjectKey {
    return this.#frames.objectKey(ref);
  }

  /** The key of the payload's object in that format, which must have a place for it. */
  objectKeyIn(format: ObjectFormat, ref: PayloadRef): ObjectKey {
    const objects: PayloadObjects = format === 'v1' ? this.#legacy : this.#frames;
    const key = objects.objectKey(ref);
    assert(key !== undefined, `${format} has no ${ref.kind}`);
    return key;
  }

  /** False when no object of the v1 format is looked at anywhere. */
  get isLegacyRead(): boolean {
    return this.#legacyNamespaces.isOn;
  }

  /** Keys of all objects that may hold the payload, those of the v1 format where it is read. */
  async objectKeys(ref: PayloadRef): Promise<readonly ObjectKey[]> {
    const own = this.#frames.objectKey(ref);
    const legacy = this.#legacy.objectKey(ref);
    if (legacy === undefined || !(await this.#legacyNamespaces.has(ref.namespace))) return [own];
    return [own, legacy];
  }

  /** True when the namespace may hold objects of the v1 format that count. */
  readsLegacy(namespace: Namespace): Promise<boolean> {
    return this.#legacyNamespaces.has(namespace);
  }

  /** What the block's object tells of its chain, or undefined when there is no sound object. */
  async readFollowing(ref: PayloadRef, signal: AbortSignal): Promise<ChainHint | undefined> {
    if (this.#parts.catalog.corruptObject(ref) !== undefined) return undefined;
    const found = await this.#ask(ref, (format) => format.readHint(ref, signal));
    this.#learn(ref, found);
    return found.state === 'there' ? found.value : undefined;
  }

  /** Asks whether there is an object. Its bytes are not looked at. */
  async confirm(ref: PayloadRef, signal: AbortSignal): Promise<boolean> {
    const corrupt = this.#parts.catalog.corruptObject(ref);
    const found = await this.#ask<ObjectInfo>(ref, async (objects) => {
      const { format } = objects;
      const info = await objects.head(ref, signal);
      if (info === undefined) return absent;
      const isCorrupt = corrupt?.format === format && corrupt.etag === info.etag;
      const reason = 'it is known to be corrupt';
      return isCorrupt
        ? { state: 'damaged', format, etag: info.etag, reason }
        : { state: 'there', format, value: info };
    });
    if (found.state !== 'damaged') this.#learn(ref, found);
    return found.state === 'there';
  }

  /** The payload of a block or tail, verified and pinned, or why it cannot be had. */
  async fetch(ref: PayloadRef, signal: AbortSignal): Promise<FetchedPayload | MissReason> {
    const { catalog } = this.#parts;
    if (catalog.corruptObject(ref) !== undefined) return 'corrupt';
    if (catalog.isAbsent(ref)) return catalog.absenceReason(ref);
    try {
      const found = await this.#ask<FetchedPayload | 'unchanged'>(ref, (objects) =>
        objects.fetch(ref, signal),
      );
      this.#learn(ref, found);
      const result = this.#resultOf(ref, found);
      assert(result !== 'unchanged', 'no tag was given');
      return result;
    } catch (error) {
      return this.#reasonOf(error);
    }
  }

  /**
   * The same of a raw tail, of its newest object; the tag of what comes tells its format too. `unchanged` when the
   * caller has the bytes of the object of that tag. An object that is known to be corrupt may have been replaced.
   */
  async fetchRawTail(
    ref: PayloadRef,
    signal: AbortSignal,
    knownTag?: string,
  ): Promise<FetchedPayload | MissReason | 'unchanged'> {
    const { catalog } = this.#parts;
    const corrupt = catalog.corruptObject(ref);
    try {
      const tag = corrupt === undefined ? knownTag : tagOf(corrupt.format, corrupt.etag);
      const found = await this.#fetchNewest(ref, signal, tag);
      const isUnchanged = found.state === 'there' && found.value === 'unchanged';
      if (isUnchanged && corrupt !== undefined) return 'corrupt';
      this.#learn(ref, found);
      const result = this.#resultOf(ref, found);
      if (typeof result === 'string' || found.state !== 'there') return result;
      return { ...result, etag: tagOf(found.format, result.etag) };
    } catch (error) {
      return this.#reasonOf(error);
    }
  }

  /**
   * Stores the payload, unless another object is there already, which serves as well. A corrupt
   * object that is remembered is replaced, if it is still the same.
   *
   * Resolves to the tag of a raw tail's object, as {@link fetchRawTail} tells it, where the bucket tells it.
   *
   * @throws StoreError `CORRUPT` when the payload fails its checksum, else what the bucket threw.
   */
  async put(
    facts: PayloadFacts,
    payload: Uint8Array,
    following: readonly BlockKey[],
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { catalog, writeFormat } = this.#parts;
    const isLegacy = writeFormat === 'v1' && this.#legacy.canHold(facts, payload);
    const objects: PayloadObjects = isLegacy ? this.#legacy : this.#frames;
    if (!isLegacy && (await this.#isStoredAsLegacy(facts, signal))) {
      catalog.confirm(facts);
      return undefined;
    }
    const corrupt = catalog.corruptObject(facts);
    const ifSame =
      corrupt?.format === objects.format
        ? { kind: 'if-match' as const, etag: corrupt.etag }
        : { kind: 'if-absent' as const };
    const condition = facts.kind === 'raw-tail' ? undefined : ifSame;
    const stored = { facts, payload, following };
    const { outcome, etag } = await objects.put(stored, { condition, signal });
    if (outcome === 'changed') {
      // The corrupt object was replaced or deleted: what is there by now serves, else this payload.
      await objects.put(stored, { condition: { kind: 'if-absent' }, signal });
    }
    catalog.confirm(facts);
    return etag === undefined ? undefined : tagOf(objects.format, etag);
  }

  /**
   * True when the block is in the bucket in the v1 format: it is not stored twice. The question saves
   * an upload and is no condition of one, so a bucket that does not answer it is not asked again.
   */
  async #isStoredAsLegacy(facts: PayloadFacts, signal: AbortSignal): Promise<boolean> {
    if (facts.kind !== 'block' || !this.#legacyNamespaces.isOn) return false;
    if (this.#parts.catalog.corruptObject(facts)?.format === 'v1') return false;
    try {
      if (!(await this.#legacyNamespaces.has(facts.namespace))) return false;
      return (await this.#legacy.head(facts, signal)) !== undefined;
    } catch (error) {
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      this.#parts.counters.lastFailure = error.message;
      return false;
    }
  }

  /** Where there may be one of either format both are asked for, without their bytes, before one is fetched. */
  async #fetchNewest(
    ref: PayloadRef,
    signal: AbortSignal,
    tag: string | undefined,
  ): Promise<Found<FetchedPayload | 'unchanged'>> {
    if (!(await this.#legacyNamespaces.has(ref.namespace))) {
      return this.#frames.fetch(ref, signal, etagIn('v2', tag));
    }
    const newest = await this.#newest(ref, signal);
    if (newest === undefined) return absent;
    const { format, info } = newest;
    if (tagOf(format, info.etag) === tag) return { state: 'there', format, value: 'unchanged' };
    return (format === 'v1' ? this.#legacy : this.#frames).fetch(ref, signal);
  }

  /** Of the raw tail's objects the one that was written last; of two of one moment ours. */
  async #newest(
    ref: PayloadRef,
    signal: AbortSignal,
  ): Promise<{ readonly format: ObjectFormat; readonly info: ObjectInfo } | undefined> {
    const [own, legacy] = await Promise.all([
      this.#frames.head(ref, signal),
      this.#legacy.head(ref, signal),
    ]);
    if (legacy !== undefined && legacy.modifiedMs > (own?.modifiedMs ?? -Infinity)) {
      return { format: 'v1', info: legacy };
    }
    return own === undefined ? undefined : { format: 'v2', info: own };
  }

  /**
   * Asks one format and then, unless that has a sound object, the other one. Of damage in both, that
   * of the format which the next save writes is told: it can be replaced.
   */
  async #ask<Value>(
    ref: PayloadRef,
    ask: (objects: PayloadObjects) => Promise<Found<Value>>,
  ): Promise<Found<Value>> {
    const { namespace } = ref;
    const isOwnFirst = this.#lastFormats.get(namespace) !== 'v1' || ref.kind === 'tail';
    const [first, second] = isOwnFirst
      ? [this.#frames, this.#legacy]
      : [this.#legacy, this.#frames];
    const answer = await ask(first);
    if (answer.state === 'there' || second.objectKey(ref) === undefined) return answer;
    try {
      if (second.format === 'v1' && !(await this.#legacyNamespaces.has(namespace))) return answer;
      const other = await ask(second);
      if (other.state === 'there' && ref.kind === 'block') {
        this.#lastFormats.set(namespace, other.format);
      }
      return this.#better(answer, other);
    } catch (error) {
      // Of the first object enough is known.
      if (answer.state === 'absent' || !isStoreError(error, 'UNAVAILABLE')) throw error;
      return answer;
    }
  }

  /** Which of the answers of both formats counts, when the first has no sound object. */
  #better<Value>(first: Found<Value>, second: Found<Value>): Found<Value> {
    if (first.state === 'absent' || second.state === 'there') return second;
    if (second.state !== 'damaged') return first;
    return second.format === this.#parts.writeFormat ? second : first;
  }

  #resultOf<Value>(ref: PayloadRef, found: Found<Value>): Value | MissReason {
    switch (found.state) {
      case 'there':
        return found.value;
      case 'absent':
        return this.#parts.catalog.absenceReason(ref);
      case 'incompatible':
        return 'incompatible';
      case 'damaged':
        return 'corrupt';
      default:
        return found satisfies never;
    }
  }

  /** Tells the catalog what was found. */
  #learn(ref: PayloadRef, found: Found<unknown>): void {
    const { catalog, counters, logger } = this.#parts;
    switch (found.state) {
      case 'there':
        catalog.confirm(ref);
        return;
      case 'absent':
        catalog.deny(ref);
        return;
      case 'incompatible':
        return;
      case 'damaged': {
        catalog.condemn(ref, found);
        counters.corrupt += 1;
        const objects = found.format === 'v1' ? this.#legacy : this.#frames;
        const fields = { object: objects.objectKey(ref), reason: found.reason };
        logger.error('object tier: an object is corrupt', fields);
        return;
      }
      default:
        found satisfies never;
    }
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
}

/** Tags of two formats are not compared with each other. */
function tagOf(format: ObjectFormat, etag: string): string {
  return `${format} ${etag}`;
}

/** What the bucket calls the object of that tag, when it is of that format. */
function etagIn(format: ObjectFormat, tag: string | undefined): string | undefined {
  const start = tagOf(format, '');
  return tag?.startsWith(start) === true ? tag.slice(start.length) : undefined;
}
