import { StoreError } from '../base/errors.ts';
import {
  checkBlocks,
  checkKeys,
  checkOptions,
  checkTail,
  checkTip,
  checkTokens,
} from '../blocks/call-arguments.ts';
import type { BlockKey } from '../blocks/block-key.ts';
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
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { KeptBlocks } from './kept-blocks.ts';

/**
 * The client of a daemon as callers see it. It sits around the client of one door: it checks arguments,
 * so that those need not, and answers loads from a near-cache as far as that goes, where there is one.
 * Every other call goes to the daemon. Its statistics are the daemon's, which knows nothing of what the
 * cache gives.
 */
export class ClientStore implements KvStore {
  readonly #door: KvStore;
  readonly #namespace: Namespace;
  readonly #near: KeptBlocks | undefined;
  #isClosed = false;

  /** Owns both from now on. Without `near` nothing is kept. */
  constructor(door: KvStore, namespace: Namespace, near: KeptBlocks | undefined) {
    this.#door = door;
    this.#namespace = namespace;
    this.#near = near;
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    checkKeys(keys);
    checkOptions(options);
    return this.#door.lookup(keys, options);
  }

  async contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    checkKeys(keys);
    checkOptions(options);
    return this.#door.contains(keys, options);
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    checkKeys(keys);
    checkOptions(options);
    if (this.#near === undefined) return this.#door.load(keys, options);
    if (this.#isClosed) throw new StoreError('CLOSED', 'the store was closed');
    if (options?.signal?.aborted === true) {
      throw new StoreError('ABORTED', 'aborted by the caller', { cause: options.signal.reason });
    }
    const namespace = options?.namespace ?? this.#namespace;
    return this.#near.load(namespace, keys, options, (rest) => this.#door.load(rest, options));
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    checkBlocks(blocks);
    checkOptions(options);
    for (const { key, payload } of blocks) checkSize(key, payload);
    return this.#door.save(blocks, options);
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    checkTip(query.tip);
    checkTokens(query.tokens);
    checkOptions(options);
    return this.#door.loadTail(query, options);
  }

  async saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    checkTail(tail);
    checkOptions(options);
    checkSize(tail.tip, tail.payload);
    return this.#door.saveTail(tail, options);
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    checkTip(tip);
    checkOptions(options);
    return this.#door.loadRawTail(tip, options);
  }

  async saveRawTail(
    tip: BlockKey,
    payload: Uint8Array,
    options?: SaveOptions,
  ): Promise<SaveResult> {
    checkTail({ tip, tokens: [], payload });
    checkOptions(options);
    checkSize(tip, payload);
    return this.#door.saveRawTail(tip, payload, options);
  }

  async prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    checkKeys(keys);
    checkOptions(options);
    return this.#door.prefetch(keys, options);
  }

  async flush(options?: CallOptions): Promise<void> {
    checkOptions(options);
    return this.#door.flush(options);
  }

  /** What descends from a block is not known here, so with a subtree all of the namespace goes. */
  async delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    if (selection.kind === 'blocks') checkKeys(selection.keys);
    if (selection.kind === 'subtree') checkTip(selection.root);
    checkOptions(options);
    const namespace = options?.namespace ?? this.#namespace;
    const keys = selection.kind === 'blocks' ? selection.keys : undefined;
    try {
      return await this.#door.delete(selection, options);
    } finally {
      // Also after a failure: nobody knows how far it came.
      await this.#near?.forget(namespace, keys);
    }
  }

  async stats(options?: CallOptions): Promise<StoreStats> {
    checkOptions(options);
    return this.#door.stats(options);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#near?.close();
    await this.#door.close();
  }
}

function checkSize(key: BlockKey, payload: Uint8Array): void {
  if (payload.length <= limits.payloadBytesMax) return;
  const size = `payload of ${key} has ${payload.length} bytes`;
  throw new StoreError('TOO_LARGE', `${size}; at most ${limits.payloadBytesMax} can be stored`);
}
