import type { BlockKey } from './block-key.ts';
import type { Namespace } from './namespace.ts';

/**
 * The contract of WombatKV: what the store in process and every client of a daemon satisfy.
 * `test/conformance/kv-store-suite.ts` is this contract as a program.
 *
 * For every call:
 * - `namespace` names the tenant; without it the store's own namespace is meant.
 * - It ends by its deadline, or as soon as the signal fires (`ABORTED`).
 * - A storage fault is a shorter prefix or a `StoreError`; it never hangs and never gives bytes that
 *   differ from those saved under that key and namespace.
 * - After `close()` it rejects with `CLOSED`.
 */
export interface KvStore {
  /**
   * How many leading blocks of the chain are stored anywhere: in memory, on disk, or known in the
   * object store. Sees what this store accepted at once, and what other hosts made durable without
   * a restart. Past the deadline it answers what is known by then.
   */
  lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup>;

  /** For each key whether its block is stored, without reading payloads. */
  contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]>;

  /**
   * The leading blocks of the chain up to the first that cannot be had, with the reason. Storage
   * faults end the prefix; they do not reject. The caller releases the borrow.
   */
  load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow>;

  /**
   * Stores blocks of one chain, in chain order. Blocks stored already move no bytes. When it
   * resolves they are *accepted*: they survive the death of this process and are uploaded later;
   * with `durable` they are in the object store. A lookup from the batch's first block sees all
   * new blocks or none. The payloads may be changed by the caller once it resolves or rejects.
   *
   * @throws StoreError `BUSY` at the backlog limit, `TOO_LARGE` for a payload that never fits:
   * nothing of the batch is stored then. `UNAVAILABLE` or `ABORTED` of a `durable` save only says
   * that it is not durable yet: the batch is accepted and its upload goes on.
   */
  save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult>;

  /**
   * The longest stored tail that continues the chain with these tokens: its own tokens are the
   * first of `tokens`, checked by digest. Undefined when there is none.
   */
  loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined>;

  /** Stores a tail bound to its tip and tokens. At most eight are kept under one tip. */
  saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult>;

  /** The bytes last saved under the tip by {@link saveRawTail}. Undefined when there are none. */
  loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined>;

  /** Stores bytes under the tip; the last writer wins. They are bound to nothing but the tip. */
  saveRawTail(tip: BlockKey, payload: Uint8Array, options?: SaveOptions): Promise<SaveResult>;

  /** Brings leading blocks of the chain into the memory tier. Resolves to how many are there. */
  prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number>;

  /**
   * Waits until everything accepted before the call is durable.
   *
   * @throws StoreError `UNAVAILABLE` when an upload was refused or the object store is gone; what
   * is pending stays pending.
   */
  flush(options?: CallOptions): Promise<void>;

  /** Removes blocks from this store's tiers and from the object store. */
  delete(selection: Selection, options?: CallOptions): Promise<DeleteResult>;

  /** Counters since the store was opened, and what the tiers hold now. */
  stats(options?: CallOptions): Promise<StoreStats>;

  /**
   * Stops taking work, gives uploads some time, leaves the rest pending for the next process on
   * this host, and frees everything. Borrows stay valid. A second call waits for the first.
   */
  close(): Promise<void>;
}

/** Options of every call. */
export interface CallOptions {
  readonly namespace?: Namespace | undefined;
  /** Ends the call early with `ABORTED`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that the call may take, instead of its usual deadline. */
  readonly deadlineMs?: number | undefined;
}

export interface LoadOptions extends CallOptions {
  /** Takes payloads that hold tokens decoded one by one for misses. */
  readonly exact?: boolean | undefined;
  /**
   * The caller's model, 64 hex characters. Payloads whose frame names another one are taken for
   * misses; those that name none are not. Zeros mean unknown, as in a frame.
   */
  readonly fingerprint?: string | undefined;
}

export interface SaveOptions extends CallOptions {
  /** Resolve only when the object store has confirmed. */
  readonly durable?: boolean | undefined;
  /** The key before the first block; absent when the batch begins its chain or nobody knows. */
  readonly parent?: BlockKey | undefined;
  /** The fingerprint of the model, 64 hex characters, when known; kept in the frames. */
  readonly fingerprint?: string | undefined;
}

/** One block to store. */
export interface BlockToSave {
  readonly key: BlockKey;
  /** The bytes. May be empty. May lie in shared memory; must not change during the call. */
  readonly payload: Uint8Array;
  /** Number of tokens of the block; 0 when unknown. */
  readonly tokens?: number | undefined;
  /** Index of its first token in the sequence. */
  readonly position?: number | undefined;
  /** True when some of its tokens were decoded one by one, not prefilled. */
  readonly hasDecodedTokens?: boolean | undefined;
}

/** Tokens that fill no block, and the chain that they continue. */
export interface TailQuery {
  readonly tip: BlockKey;
  readonly tokens: ArrayLike<number>;
}

export interface TailToSave extends TailQuery {
  readonly payload: Uint8Array;
  readonly position?: number | undefined;
  readonly hasDecodedTokens?: boolean | undefined;
}

export interface Lookup {
  /** Number of leading keys that are stored. */
  readonly matched: number;
  /** Why the next one is not; undefined when all are. */
  readonly reason: MissReason | undefined;
}

/**
 * Why a block was not had.
 *
 * - `unknown`: nobody knows of it: it was never stored, or a caller removed it. - `evicted`: this
 * store had it or saw it in the object store, and it was dropped there for lack of room or removed
 * by another. As far as it is remembered: `unknown` otherwise. - `corrupt`: its bytes failed a check
 * and were set aside. - `decoded`: it holds decoded tokens and the caller wants exact ones.
 * - `other-fingerprint`: another model's, by its frame and the caller's `fingerprint`.
 * - `deadline`: time ran out. - `unavailable`: the object store did not answer.
 * - `incompatible`: written by a newer version. - `closed`: the store was closing.
 */
export type MissReason =
  | 'unknown'
  | 'evicted'
  | 'corrupt'
  | 'decoded'
  | 'other-fingerprint'
  | 'deadline'
  | 'unavailable'
  | 'incompatible'
  | 'closed';

/** Where bytes were found. */
export type Tier = 'memory' | 'disk' | 'object';

/**
 * Payloads on loan. They do not change until `release()`, whatever is evicted, overwritten or
 * closed meanwhile, and must not be written to or used after it.
 */
export interface Borrow {
  /** The leading blocks that could be had, in order. */
  readonly blocks: readonly LoadedBlock[];
  /** Why the next block could not be had; undefined when all were. */
  readonly reason: MissReason | undefined;
  /** Gives all payloads back. Harmless when called again. */
  release(): void;
}

export interface LoadedBlock {
  readonly key: BlockKey;
  readonly payload: Uint8Array;
  /** Number of tokens; 0 when unknown. */
  readonly tokens: number;
  readonly hasDecodedTokens: boolean;
  readonly tier: Tier;
  /** CRC32C of the payload, where it is known: whoever passes the bytes on need not compute it. */
  readonly crc?: number | undefined;
}

/** One payload on loan, by the rules of {@link Borrow}. */
export interface PayloadBorrow {
  readonly payload: Uint8Array;
  readonly tier: Tier;
  /** CRC32C of the payload, where it is known. */
  readonly crc?: number | undefined;
  release(): void;
}

export interface TailBorrow extends PayloadBorrow {
  /** How many of the query's tokens the tail covers, counted from its first. */
  readonly tokens: number;
  readonly hasDecodedTokens: boolean;
}

export interface SaveResult {
  /**
   * Payloads that were new and are accepted now. To a client beside its daemon all those are new that are not in the daemon's
   * memory and that it did not save itself a moment ago; the daemon stores none twice (docs/decisions/0111).
   */
  readonly saved: number;
  /** The others: they were stored already. */
  readonly known: number;
  /** Payload bytes of the new ones. */
  readonly savedBytes: number;
}

/** What to delete: blocks by key, a block with all that continue it, or all of the namespace. */
export type Selection =
  | { readonly kind: 'blocks'; readonly keys: readonly BlockKey[] }
  | { readonly kind: 'subtree'; readonly root: BlockKey }
  | { readonly kind: 'namespace' };

export interface DeleteResult {
  /** Objects removed from the object store. */
  readonly objects: number;
}

export interface TierStats {
  /** Payloads that the tier gave, and their bytes. */
  readonly hits: number;
  readonly hitBytes: number;
  /** Payloads that the tier holds, their bytes, and its budget in bytes (0: none). */
  readonly entries: number;
  readonly bytes: number;
  readonly budgetBytes: number;
  readonly evictions: number;
}

export interface StoreStats {
  readonly memory: TierStats;
  readonly disk: TierStats;
  readonly object: ObjectTierStats;
  /** Payloads asked for and not had, by reason. */
  readonly misses: Readonly<Record<MissReason, number>>;
  /** Payloads whose bytes failed a check, in any tier. */
  readonly corrupt: number;
  /**
   * Headers of records and segments, lists of keys and owner files in the cache directory that failed
   * their check as it was opened or adopted. What they told of is fetched again, or lost where it was
   * pending. A loss of power leaves such damage too; the death of a process does not.
   */
  readonly damagedRecords: number;
  /** Payloads accepted and not yet durable. */
  readonly pending: number;
  readonly pendingBytes: number;
  /** Uploads that failed and wait for another attempt, since the store was opened. */
  readonly uploadFailures: number;
  /** The text of the last failure of the object store, if any. */
  readonly lastFailure: string | undefined;
  readonly saved: number;
  readonly savedBytes: number;
  /** Payloads given to save() that were stored already. */
  readonly known: number;
  /** Calls refused because a limit was reached. */
  readonly refused: number;
}

export interface ObjectTierStats {
  readonly hits: number;
  /** Payload bytes that came from the object store, before compression. */
  readonly hitBytes: number;
  /** Requests made, by verb. */
  readonly requests: Readonly<Record<ObjectVerb, number>>;
  /**
   * Requests as a bill counts them, repeated ones included: `write` is put and list, `read` get and
   * head, `free` delete. All zero for an object store that nobody is billed for.
   */
  readonly billed: Readonly<Record<'write' | 'read' | 'free', number>>;
  /** Bytes over the wire, in object bodies. */
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** A request of an object store. */
export type ObjectVerb = 'put' | 'get' | 'head' | 'list' | 'delete';
