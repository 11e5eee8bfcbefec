import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { DiskLocation } from './disk-log.ts';
import type { Extent } from './extent.ts';

/** What names a payload in the local tiers. */
export interface PayloadId {
  readonly namespace: Namespace;
  readonly kind: PayloadKind;
  /** Block: its key. Tail: its digest. Raw tail: the tip. */
  readonly key: BlockKey;
}

/** What is known about a payload besides its bytes. */
export interface PayloadFacts extends PayloadId {
  /** Block: the key before it. Tail: its tip. */
  readonly parent: BlockKey | undefined;
  readonly fingerprint: string | undefined;
  readonly tokens: number;
  readonly position: number | undefined;
  readonly hasDecodedTokens: boolean;
  readonly length: number;
  /** CRC32C of the payload. */
  readonly crc: number;
}

/** Names a payload among all others. */
export function idText({ kind, key, namespace }: PayloadId): string {
  return `${kind.charAt(0)}${key}${namespace}`;
}

/** What is known of the object that holds a raw tail, and when that was so. */
export interface RawTailObject {
  readonly etag: string | undefined;
  readonly checkedMs: number;
}

/**
 * A payload that a local tier holds. It leaves the index when no tier holds it any more. Only
 * `LocalCache` changes the fields that change.
 */
export class CacheEntry {
  readonly facts: PayloadFacts;
  /** Tells two payloads under one key apart: of a raw tail only the last may be used. */
  readonly sequence: number;
  readonly saveId: number;
  readonly saveIndex: number;
  /** The bytes in memory; `payload` lies inside the extent. */
  extent: Extent | undefined;
  payload: Uint8Array | undefined;
  disk: DiskLocation | undefined;
  /** Accepted and not yet confirmed by the object store. A pending entry is never evicted. */
  isPending: boolean;
  /** Accepted in memory and not in the log yet: the next process finds it there (memory-acceptance.ts). */
  isHeld = false;
  /**
   * Uses since it came, counted up to three; one less for each time that it is written again where
   * others are evicted. With none left it is evicted.
   */
  uses = 0;
  /** False once another entry took its place or it was removed. */
  isCurrent = true;
  /** Raw tail: the tag of the object that has these bytes. Undefined: nobody said. */
  etag: string | undefined;
  /** Raw tail: when it was last known to be what the bucket has. Undefined: not by this process. */
  checkedMs: number | undefined;
  /** Pending, and its only copy turned out to be damaged: it will never be durable. */
  isLost = false;

  constructor(facts: PayloadFacts, origin: EntryOrigin) {
    this.facts = facts;
    this.sequence = origin.sequence;
    this.saveId = origin.saveId;
    this.saveIndex = origin.saveIndex;
    this.isPending = origin.isPending;
  }

  /** The bucket has the raw tail as that object. */
  noteObject({ etag, checkedMs }: RawTailObject): void {
    this.etag = etag;
    this.checkedMs = checkedMs;
  }

  noteUse(): void {
    this.uses = Math.min(usesMax, this.uses + 1);
  }
}

/** More would keep old favourites longer and bring hardly a hit (disk-tier.trace.test.ts). */
const usesMax = 3;

/** Where an entry came from. Save id 0: fetched from the object store. */
export interface EntryOrigin {
  readonly sequence: number;
  readonly saveId: number;
  readonly saveIndex: number;
  readonly isPending: boolean;
}
