import type { BlockKey } from '../blocks/block-key.ts';
import { checkKeys, checkOptions } from '../blocks/call-arguments.ts';
import type {
  BlockToSave,
  Borrow,
  CallOptions,
  DeleteResult,
  KvStore,
  LoadOptions,
  LoadedBlock,
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
import type { SharedPins, SharedReader } from '../cache/shared-reader.ts';
import type { UseNotes } from './use-notes.ts';

/** Gives what reads the daemon's memory now; undefined while there is nothing to read. */
export interface SharedAccess {
  current(): SharedReader | undefined;
  close(): void;
}

export interface SharedStoreParts {
  /** The same daemon over its socket; closed with this store. */
  readonly remote: KvStore;
  readonly access: SharedAccess;
  readonly namespace: Namespace;
  /** What is used without a call is noted there; closed with this store. */
  readonly uses: Pick<UseNotes, 'note' | 'close'>;
  /** Whether the daemon answers a save when it is accepted, unless that says otherwise. */
  isAccepting(): boolean;
}

/**
 * A daemon on this host as a store. Leading blocks in its memory are found and borrowed where they
 * lie: no call, no copy; and a save of blocks that are all there is answered by that. The others, and
 * everything else, go over the socket; a load of blocks brings them into the daemon's memory, where
 * the next load finds them. Without shared memory it is the store over the socket.
 */
export class SharedStore implements KvStore {
  readonly #parts: SharedStoreParts;
  #hits = 0;
  #hitBytes = 0;
  #known = 0;
  #isClosed = false;

  constructor(parts: SharedStoreParts) {
    this.#parts = parts;
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    checkKeys(keys);
    const reader = this.#reader(options);
    if (keys.length > 0 && reader?.find(this.#namespaceOf(options), keys) === keys.length) {
      return { matched: keys.length, reason: undefined };
    }
    return this.#parts.remote.lookup(keys, options);
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    checkKeys(keys);
    const reader = this.#reader(options);
    if (reader === undefined) return this.#parts.remote.load(keys, options);
    const namespace = this.#namespaceOf(options);
    const wish = { exact: options?.exact === true, fingerprint: meant(options?.fingerprint) };
    const pins = reader.pin(namespace, keys, wish);
    const { length } = pins.blocks;
    try {
      const rest =
        length < keys.length
          ? await this.#parts.remote.load(length === 0 ? keys : keys.slice(length), options)
          : undefined;
      this.#count(pins);
      this.#parts.uses.note(namespace, keys.slice(0, length));
      return borrowOf(keys, pins, rest);
    } catch (error) {
      pins.release();
      throw error;
    }
  }

  contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    return this.#parts.remote.contains(keys, options);
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    if (this.#isKnown(blocks, options)) return { saved: 0, known: blocks.length, savedBytes: 0 };
    return this.#parts.remote.save(blocks, options);
  }

  loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    return this.#parts.remote.loadTail(query, options);
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

  /** Those of the daemon, and what this client found in its memory, which the daemon does not count. */
  async stats(options?: CallOptions): Promise<StoreStats> {
    const stats = await this.#parts.remote.stats(options);
    const { hits, hitBytes } = stats.memory;
    const memory = {
      ...stats.memory,
      hits: hits + this.#hits,
      hitBytes: hitBytes + this.#hitBytes,
    };
    return { ...stats, memory, known: stats.known + this.#known };
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#parts.uses.close();
    this.#parts.access.close();
    return this.#parts.remote.close();
  }

  /** True when all blocks are accepted already, which is all that is asked, and the daemon's memory says so. */
  #isKnown(blocks: readonly BlockToSave[], options: SaveOptions | undefined): boolean {
    const { uses } = this.#parts;
    const reader = this.#reader(options);
    const isDurable = options?.durable ?? !this.#parts.isAccepting();
    if (reader === undefined || blocks.length === 0 || isDurable) return false;
    const namespace = this.#namespaceOf(options);
    const keys = blocks.map(({ key }) => key);
    if (reader.find(namespace, keys) < keys.length) return false;
    uses.note(namespace, keys);
    this.#known += keys.length;
    return true;
  }

  /** Undefined where the socket answers: it refuses what is to be refused, too. */
  #reader(options: CallOptions | undefined): SharedReader | undefined {
    checkOptions(options);
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

/** Zeros mean unknown. */
function meant(fingerprint: string | undefined): string | undefined {
  return fingerprint === undefined || /^0*$/.test(fingerprint) ? undefined : fingerprint;
}

function borrowOf(keys: readonly BlockKey[], pins: SharedPins, rest: Borrow | undefined): Borrow {
  const blocks: LoadedBlock[] = [];
  for (const { payload, crc, tokens, hasDecodedTokens } of pins.blocks) {
    const key = keys[blocks.length];
    blocks.push({ key, payload, tokens, hasDecodedTokens, tier: 'memory', crc });
  }
  if (rest === undefined) return { blocks, reason: undefined, release: () => pins.release() };
  return {
    blocks: [...blocks, ...rest.blocks],
    reason: rest.reason,
    release: () => {
      pins.release();
      rest.release();
    },
  };
}
