import type { BlockKey } from '../blocks/block-key.ts';
import {
  checkKeys,
  checkOptions,
  checkTip,
  checkTokens,
  keysOfBlocks,
  mayBeKeys,
} from '../blocks/call-arguments.ts';
import type {
  BlockToSave,
  Borrow,
  CallOptions,
  DeleteResult,
  KvStore,
  LoadOptions,
  Lookup,
  PayloadBorrow,
  SaveOptions,
  SaveResult,
  Selection,
  StoreStats,
  TailBorrow,
  TailQuery,
  TailToSave,
} from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { tailDigest } from '../blocks/prefix.ts';
import type { SharedPins, SharedReader, SharedWish } from '../cache/shared-reader.ts';
import type { LeftSave, SaveHere, SaveRings } from './save-rings.ts';
import { rehearse } from './shared-rehearsal.ts';
import type { UseNotes } from './use-notes.ts';

/** Gives what reads the daemon's memory now; undefined while there is nothing to read. */
export interface SharedAccess {
  current(): SharedReader | undefined;
  close(): void;
}

export interface SharedStoreParts {
  /** The same daemon over its socket, which refuses what is to be refused; closed with this store. */
  readonly remote: KvStore;
  readonly access: SharedAccess;
  readonly namespace: Namespace;
  /** What is used without a call is noted there; closed with this store. */
  readonly uses: Pick<UseNotes, 'note' | 'close'>;
  /** Leaves saves in the daemon's memory; undefined where there is none. Closed with this store. */
  readonly rings?: Pick<SaveRings, 'settle' | 'leave' | 'close'> | undefined;
  /** Whether the daemon answers a save when it is accepted, unless that says otherwise. */
  isAccepting(): boolean;
}

/**
 * A daemon on this host as a store. Leading blocks in its memory are found and borrowed where they
 * lie: no call, no copy; a save of blocks that are all there is answered by that, as is a lookup of
 * blocks that are there or that the daemon knows in the bucket; and of other saves it leaves what
 * it can in a ring there. So is a tail of all tokens of a query. Everything else goes over the socket; a load of blocks brings them into the daemon's memory, where
 * the next load finds them. Without shared memory it is the store over the socket.
 *
 * What is found had the form of a key, so the digits of keys are checked only of what goes over the
 * socket: that would take longer than all the rest (docs/decisions/0098).
 */
export class SharedStore implements KvStore {
  readonly #parts: SharedStoreParts;
  #hits = 0;
  #hitBytes = 0;
  #known = 0;
  #corrupt = 0;
  #isClosed = false;

  constructor(parts: SharedStoreParts) {
    this.#parts = parts;
  }

  /** Has what calls do compiled where shared memory answers them. It takes a few milliseconds. */
  rehearse(): void {
    const reader = this.#parts.access.current();
    if (reader === undefined) return;
    const look = (blocks: readonly BlockToSave[]): unknown => this.#look(blocks, undefined);
    rehearse({ reader, namespace: this.#parts.namespace, look });
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    const reader = mayBeKeys(keys) ? this.#reader(options) : undefined;
    if (reader?.areStored(this.#namespaceOf(options), keys) === true) {
      checkOptions(options);
      return { matched: keys.length, reason: undefined };
    }
    return this.#parts.remote.lookup(keys, options);
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    const reader = mayBeKeys(keys) ? this.#reader(options) : undefined;
    if (reader === undefined) return this.#parts.remote.load(keys, options);
    const namespace = this.#namespaceOf(options);
    const pins = reader.pin(namespace, keys, wishOf(options));
    const { blocks } = pins;
    this.#corrupt += pins.damaged;
    try {
      const rest = blocks.length < keys.length ? await this.#rest(keys, pins, options) : undefined;
      checkOptions(options);
      this.#count(pins);
      this.#parts.uses.note(namespace, keys.slice(0, blocks.length));
      if (rest !== undefined) return joined(pins, rest);
      return { blocks, reason: undefined, release: pins.release };
    } catch (error) {
      pins.release();
      throw error;
    }
  }

  contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    return this.#parts.remote.contains(keys, options);
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    const here = this.#saveHere(blocks, options);
    const left = here instanceof Promise ? await here : here;
    if (left !== undefined) {
      this.#known += left.skipped;
      return left.result;
    }
    const result = await this.#parts.remote.save(blocks, options);
    this.#meet(blocks, options);
    return result;
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    const reader = this.#reader(options);
    if (reader === undefined) return this.#parts.remote.loadTail(query, options);
    checkTip(query.tip);
    checkTokens(query.tokens);
    checkOptions(options);
    // That of all tokens: none is longer. What is bound to its tokens does not change under its key.
    const digest = tailDigest(query.tip, query.tokens);
    const pins = reader.pin(this.#namespaceOf(options), [digest], {
      ...wishOf(options),
      kind: 'tail',
    });
    this.#corrupt += pins.damaged;
    this.#count(pins);
    const tail = pins.blocks.at(0);
    if (tail === undefined) return this.#parts.remote.loadTail(query, options);
    const { payload, tokens, hasDecodedTokens, tier, crc } = tail;
    return { payload, tokens, hasDecodedTokens, tier, crc, release: pins.release };
  }

  saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    return this.#parts.remote.saveTail(tail, options);
  }

  loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    return this.#parts.remote.loadRawTail(tip, options);
  }

  saveRawTail(tip: BlockKey, payload: Uint8Array, options?: SaveOptions): Promise<SaveResult> {
    return this.#parts.remote.saveRawTail(tip, payload, options);
  }

  prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    return this.#parts.remote.prefetch(keys, options);
  }

  flush(options?: CallOptions): Promise<void> {
    return this.#parts.remote.flush(options);
  }

  delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    return this.#parts.remote.delete(selection, options);
  }

  /** Those of the daemon, and what this client met in its memory, which the daemon does not count. */
  async stats(options?: CallOptions): Promise<StoreStats> {
    const stats = await this.#parts.remote.stats(options);
    const { hits, hitBytes } = stats.memory;
    const memory = {
      ...stats.memory,
      hits: hits + this.#hits,
      hitBytes: hitBytes + this.#hitBytes,
    };
    const known = stats.known + this.#known;
    return { ...stats, memory, known, corrupt: stats.corrupt + this.#corrupt };
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#parts.uses.close();
    this.#parts.rings?.close();
    this.#parts.access.close();
    return this.#parts.remote.close();
  }

  /** Loads what is behind the pinned blocks. */
  #rest(
    keys: readonly BlockKey[],
    { blocks }: SharedPins,
    options: LoadOptions | undefined,
  ): Promise<Borrow> {
    const { remote } = this.#parts;
    if (blocks.length === 0) return remote.load(keys, options);
    // Here, because what is refused there is counted from the first that it is given.
    checkKeys(keys);
    return remote.load(keys.slice(blocks.length), options);
  }

  /**
   * Accepts a save without a call, where that is possible: all blocks are accepted already, by what the daemon's memory says,
   * or they are left in a ring there. Undefined: it is to be sent.
   */
  #saveHere(
    blocks: readonly BlockToSave[],
    options: SaveOptions | undefined,
  ): LeftSave | Promise<LeftSave | undefined> | undefined {
    const here = this.#look(blocks, options);
    if (here === undefined) return undefined;
    const { namespace, keys, found } = here;
    if (found < keys.length) {
      const left = this.#parts.rings?.leave(here);
      // What is left begins behind those: the daemon hears of them by nothing else.
      if (left !== undefined && found > 0) this.#parts.uses.note(namespace, keys.slice(0, found));
      return left;
    }
    checkOptions(options);
    this.#parts.uses.note(namespace, keys);
    return { result: { saved: 0, known: found, savedBytes: 0 }, skipped: found };
  }

  /** Looks for the blocks in the daemon's memory; undefined where that does not say whether a save is accepted. */
  #look(blocks: readonly BlockToSave[], options: SaveOptions | undefined): SaveHere | undefined {
    const isDurable = options?.durable ?? !this.#parts.isAccepting();
    const reader = isDurable ? undefined : this.#reader(options);
    const keys = reader === undefined ? undefined : keysOfBlocks(blocks);
    if (reader === undefined || keys === undefined || keys.length === 0) return undefined;
    const namespace = this.#namespaceOf(options);
    this.#parts.rings?.settle(reader);
    return { reader, namespace, blocks, keys, found: reader.find(namespace, keys), options };
  }

  /**
   * Looks at the entries of what was saved: this process has no pages yet of where they lie. They come now, beside the
   * bytes, and not with the save of the same blocks that follows after the next turn, where they are all there is to wait for.
   */
  #meet(blocks: readonly BlockToSave[], options: SaveOptions | undefined): void {
    const keys = keysOfBlocks(blocks);
    if (keys !== undefined) this.#reader(options)?.find(this.#namespaceOf(options), keys);
  }

  /** Undefined where the socket answers. */
  #reader(options: CallOptions | undefined): SharedReader | undefined {
    if (this.#isClosed || options?.signal?.aborted === true) return undefined;
    return this.#parts.access.current();
  }

  #namespaceOf(options: CallOptions | undefined): Namespace {
    return options?.namespace ?? this.#parts.namespace;
  }

  #count({ blocks }: SharedPins): void {
    this.#hits += blocks.length;
    for (const { payload } of blocks) this.#hitBytes += payload.byteLength;
  }
}

const anyBlock: SharedWish = { exact: false, fingerprint: undefined };

function wishOf(options: LoadOptions | undefined): SharedWish {
  if (options === undefined) return anyBlock;
  const { exact = false, fingerprint } = options;
  // Zeros mean unknown.
  const isMeant = fingerprint !== undefined && !/^0*$/.test(fingerprint);
  return { exact, fingerprint: isMeant ? fingerprint : undefined };
}

function joined(pins: SharedPins, rest: Borrow): Borrow {
  return {
    blocks: pins.blocks.length === 0 ? rest.blocks : [...pins.blocks, ...rest.blocks],
    reason: rest.reason,
    release: () => {
      pins.release();
      rest.release();
    },
  };
}
