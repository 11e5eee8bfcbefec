declare const objectKeyBrand: unique symbol;

/** The key of an object: 1 to 1024 bytes of UTF-8, parts joined by `/`. */
export type ObjectKey = string & { readonly [objectKeyBrand]: true };

/** A request of an object store. */
export type ObjectVerb = 'put' | 'get' | 'head' | 'list' | 'delete';

/**
 * A bucket: whole objects under keys. `test/conformance/object-store-suite.ts` is this contract as
 * a program. Assumed and promised: what a put stored, every later get, head and list of any process
 * sees. Wrappers of this interface say where they sit and what their numbers exclude.
 *
 * Calls reject with `StoreError` only: `UNAVAILABLE` for a fault that may pass or a refusal,
 * `ABORTED` as soon as the signal fires, `INVALID` for an argument that is wrong, `TOO_LARGE` for a
 * body that nobody gave memory for, `CLOSED` after close. An absent object is a value, never an
 * error. A put or delete that rejects with `UNAVAILABLE`, `ABORTED` or `CLOSED` may have happened
 * or still happen, whole; if-absent makes it safe to repeat.
 */
export interface ObjectStore {
  /** Which bucket this is, without secrets: equal for stores that hold the same objects. */
  readonly url: string;

  /**
   * Stores the object made of the parts, whole or not at all. With a condition that does not hold
   * nothing changes and the outcome is `present` (if-absent) or `changed` (if-match, also when
   * there is no object). The parts must not change until the call has settled; afterwards, however
   * it settled, the caller may change them.
   */
  put(key: ObjectKey, parts: readonly Uint8Array[], options?: PutOptions): Promise<PutResult>;

  /**
   * The object's bytes, or those of a range that is cut to the object's end. Undefined when there
   * is no such object. With `unlessEtag` the body may be `isUnchanged` instead.
   */
  get(key: ObjectKey, options?: GetOptions): Promise<ObjectBody | undefined>;

  /** What get would tell about the object, without its bytes. */
  head(key: ObjectKey, options?: ObjectCallOptions): Promise<ObjectInfo | undefined>;

  /** Objects whose key begins with the prefix, in byte order of whole keys, a page at a time. */
  list(prefix: string, options?: ListOptions): Promise<ObjectPage>;

  /** Removes the object. Resolves also when there was none. */
  delete(key: ObjectKey, options?: ObjectCallOptions): Promise<void>;

  /**
   * Frees connections and handles. Calls under way end with `CLOSED` or their result before it
   * resolves. Harmless when called again.
   */
  close(): Promise<void>;
}

export interface ObjectCallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface PutOptions extends ObjectCallOptions {
  /** `if-absent`: only when there is no such object. `if-match`: only over the object of that tag. */
  readonly condition?: PutCondition | undefined;
}

export type PutCondition =
  { readonly kind: 'if-absent' } | { readonly kind: 'if-match'; readonly etag: string };

export interface PutResult {
  readonly outcome: 'stored' | 'present' | 'changed';
  /**
   * Of a put without a condition: the tag of the object that it made, where the bucket tells. Another put may have
   * replaced that since.
   */
  readonly etag?: string | undefined;
}

export interface GetOptions extends ObjectCallOptions {
  /** First byte and number of bytes, both of the object. A range past the end has no bytes. */
  readonly range?: ByteRange | undefined;
  /**
   * Gives the memory for the body. Called once with the exact number of bytes that follow, before
   * any is read, and not at all for an absent or unchanged object; may throw to refuse, and get rejects with
   * what it threw. The array must have exactly that length; nothing is written to it after the
   * call has settled. The default takes a new array of at most `unaskedBodyBytesMax` bytes.
   */
  readonly allocate?: ((byteLength: number) => Uint8Array) | undefined;
  /** The caller has the bytes of the object of that tag: they are not sent again. Only without a range. */
  readonly unlessEtag?: string | undefined;
}

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface ObjectInfo {
  readonly key: ObjectKey;
  readonly byteLength: number;
  /** Changes whenever the object's bytes do. */
  readonly etag: string;
  /** Milliseconds since 1970 by the bucket's clock. */
  readonly modifiedMs: number;
}

/** A body and its object. `info.byteLength` is that of the whole object, also for a range. */
export interface ObjectBody {
  readonly info: ObjectInfo;
  readonly bytes: Uint8Array;
  /**
   * MD5 of the whole object in hex, as the bucket took it when it was stored; for bodies that have no
   * checksum of their own. Undefined where the bucket keeps none, and for a range.
   */
  readonly md5?: string | undefined;
  /** The object has the tag of `unlessEtag`: no bytes came, and `info` tells its key and tag alone. */
  readonly isUnchanged?: true | undefined;
}

export interface ListOptions extends ObjectCallOptions {
  /** Only keys after this one, which need not exist. */
  readonly startAfter?: string | undefined;
  /** Objects of one page, 1 to 1000; 1000 when absent. */
  readonly limit?: number | undefined;
}

export interface ObjectPage {
  readonly objects: readonly ObjectInfo[];
  /** True when more objects follow; the next page starts after the last key of this one. */
  readonly isTruncated: boolean;
}
