import type { BlockKey } from '../blocks/block-key.ts';
import type { PayloadFacts, PayloadId } from '../cache/cache-entry.ts';
import type { Extent } from '../cache/extent.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { FrameHeader } from '../format/frame.ts';
import type { ObjectFormat } from '../format/object-keys.ts';
import type {
  ObjectInfo,
  ObjectKey,
  ObjectStore,
  PutCondition,
  PutResult,
} from '../objectstore/object-store.ts';
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

/** What the beginning of a block's object tells of its chain. */
export type ChainHint = Pick<FrameHeader, 'parent' | 'following'>;

/** What lies under the name of a payload in one format. */
export type Found<Value> =
  | { readonly state: 'absent' }
  /** Another version must read it; it is left as it is. */
  | { readonly state: 'incompatible' }
  | { readonly state: 'there'; readonly format: ObjectFormat; readonly value: Value }
  | {
      readonly state: 'damaged';
      readonly format: ObjectFormat;
      readonly etag: string;
      /** Which check failed. */
      readonly reason: string;
    };

export interface StoredPayload {
  readonly facts: PayloadFacts;
  readonly payload: Uint8Array;
  /** Blocks that follow it in its chain and are in the bucket. */
  readonly following: readonly BlockKey[];
}

export interface PayloadPutOptions {
  readonly condition: PutCondition | undefined;
  readonly signal: AbortSignal;
}

/**
 * Payloads as objects of one format. Lets no byte pass that fails a check: that is `damaged`.
 * Rejects with what the bucket threw. Believes and remembers nothing: that is the object tier's.
 */
export interface PayloadObjects {
  readonly format: ObjectFormat;
  /** The object's key; undefined when the format has no place for such a payload. */
  objectKey(ref: PayloadRef): ObjectKey | undefined;
  /** What the beginning of the block's object tells, or only that it is there. */
  readHint(ref: PayloadRef, signal: AbortSignal): Promise<Found<ChainHint>>;
  /** Asks for the object. Its bytes are not looked at. */
  head(ref: PayloadRef, signal: AbortSignal): Promise<ObjectInfo | undefined>;
  /** `unchanged`, of a raw tail whose object has that tag: the caller has its bytes. */
  fetch(
    ref: PayloadRef,
    signal: AbortSignal,
    unlessEtag?: string,
  ): Promise<Found<FetchedPayload | 'unchanged'>>;
  /** @throws StoreError `CORRUPT` when the payload fails its checksum. */
  put(stored: StoredPayload, options: PayloadPutOptions): Promise<PutResult>;
}

/** What both formats are made of. */
export interface PayloadObjectsParts {
  readonly objects: ObjectStore;
  readonly keyPrefix: string;
  readonly transcoder: Transcoder;
  readonly cache: LocalCache;
  readonly compression: { readonly compress: boolean; readonly level: number };
}
