import type { BlockKey } from './block-key.ts';
import type { Namespace } from './namespace.ts';
import type { PayloadKind } from './payload-kind.ts';
import type {
  BlockToSave,
  CallOptions,
  KvStore,
  SaveOptions,
  SaveResult,
  TailToSave,
} from './kv-store.ts';

/**
 * A store behind a daemon: the contract, and a save in two steps, so that payloads that are stored
 * already need not come to the daemon at all.
 */
export interface ServedStore extends KvStore {
  /**
   * For each block whether {@link saveWanted} needs its payload. False only where it is stored, or
   * another call is accepting it, or the key came before. What nobody is sure of is wanted. Where the
   * lengths of the payloads are given and those that are wanted have no room, rejects as the save
   * would: `BUSY` at the backlog limit, or `TOO_LARGE`.
   */
  wants(keys: readonly BlockKey[], options?: WantsOptions): Promise<readonly boolean[]>;

  /**
   * Like `save`, with blocks whose payload is left out because it is stored. When one of them is
   * stored no more nothing of the batch is stored, and the answer is `payload-needed`.
   */
  saveWanted(
    blocks: readonly WantedBlock[],
    options?: SaveWantedOptions,
  ): Promise<SaveResult | 'payload-needed'>;

  saveTail(tail: TailToSave, options?: SaveTailOptions): Promise<SaveResult>;
  saveRawTail(tip: BlockKey, payload: Uint8Array, options?: SaveTailOptions): Promise<SaveResult>;

  /** True when all of them, blocks unless another kind is said, lie in memory where clients of this host find them now. */
  shows(keys: readonly BlockKey[], namespace: Namespace, kind?: PayloadKind): boolean;

  /**
   * Memory of the store for a payload that is on its way: given to {@link saveWanted} as it is, it is accepted
   * where it lies, without a copy. Undefined when there is none; then any memory will do.
   */
  lease(byteLength: number): PayloadLease | undefined;

  /**
   * Memory in which one client of this host leaves saves that are accepted without a call (docs/decisions/0099).
   * Undefined when there is none; then all saves are calls. Calls that read, flush or delete see what was left before.
   */
  openRing(): Promise<SaveRing | undefined>;

  /** A client says that something was left in its ring, or that it wants memory there: it is seen to in the background. */
  takeRings(): void;
}

/** The store's end of it. */
export interface SaveRing {
  /** The number in the name of its file. */
  readonly number: number;
  /** Of the file. */
  readonly byteLength: number;
  /**
   * Nothing more is accepted there; takes what is. What the store refuses now is tried again, and in the end left to the
   * process that follows it.
   */
  close(): Promise<void>;
}

/** Memory that is lent until it is released, or its payload is accepted. */
export interface PayloadLease {
  readonly payload: Uint8Array;
  /**
   * Lets another process of this host fill the memory, until the lease is released or its payload accepted.
   * However late that process writes, it writes only there. Undefined when as much is lent as may be.
   */
  lend(): LentPlace | undefined;
  /** Nobody writes there any more. Harmless when the payload was accepted, and when called again. */
  release(): void;
}

/** Where another process of this host fills lent memory (docs/FORMAT.md, Shared memory). */
export interface LentPlace {
  readonly segment: number;
  /** Of the extent, in units of 4 KiB. */
  readonly offset: number;
  /** The stamp that says so as long as it is lent. */
  readonly salt: number;
  readonly number: number;
}

export interface WantsOptions extends CallOptions {
  /** Of the payload of each key. */
  readonly lengths?: readonly number[] | undefined;
}

export interface WantedBlock extends Omit<BlockToSave, 'payload'> {
  /** Undefined: the block is believed to be stored. */
  readonly payload: Uint8Array | undefined;
  /** CRC32C of the payload, when the caller has just computed it from these bytes. */
  readonly crc?: number | undefined;
}

export interface SaveTailOptions extends SaveOptions {
  /** CRC32C of the payload, when the caller has just computed it from these bytes. */
  readonly crc?: number | undefined;
}

export interface SaveWantedOptions extends SaveOptions {
  /** Keys of the chain behind the last block, which are stored. */
  readonly following?: readonly BlockKey[] | undefined;
  /** The same for all parts of a save that comes in several calls, from its last blocks to its first. */
  readonly order?: UploadOrder | undefined;
  /** How many blocks of the same save before these are new too: every 64th of them all goes after the rest. */
  readonly newBefore?: number | undefined;
}

/**
 * In which order the parts of one save go to the object store, so that no other host sees the save from its first
 * block before it is whole. Parts that nobody waits for go one after another. Those of a durable save go side by side
 * (docs/decisions/0117), and every 64th block of a part after all of the parts before it; the part's call returns
 * when it is accepted, and whoever made the order waits for `durable`.
 */
export interface UploadOrder {
  /** The next part is not begun before. Whoever makes the order puts in what the first waits for. */
  after: Promise<unknown>;
  /** Of a durable save: every 64th block of the next part is not begun before. */
  uploaded?: Promise<unknown> | undefined;
  /** Of a durable save: when the parts so far are durable. Rejects as a durable save does. */
  durable?: Promise<unknown> | undefined;
}
