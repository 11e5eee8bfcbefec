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
import type {
  SaveWantedOptions,
  ServedStore,
  WantedBlock,
  WantsOptions,
} from '../blocks/served-store.ts';

/**
 * Sits between a door of this process and the client of a daemon elsewhere: saves come in two steps
 * and go on in one. Payloads that the daemon has are asked for by nobody, and go nowhere. Every other
 * call is the client's.
 *
 * Parts of one save are saves of their own at the daemon, from the last to the first: who looks up
 * there sees all of them or none, and its bucket may hold the first before the last.
 */
export class RelayedStore implements ServedStore {
  readonly #client: KvStore;

  /** Owns the client from now on. */
  constructor(client: KvStore) {
    this.#client = client;
  }

  async wants(keys: readonly BlockKey[], options?: WantsOptions): Promise<readonly boolean[]> {
    const isStored = await this.#client.contains(keys, callOptionsOf(options));
    const seen = new Set<BlockKey>();
    return keys.map((key, index) => {
      const isFirst = !seen.has(key);
      seen.add(key);
      return isFirst && !isStored[index];
    });
  }

  async saveWanted(
    blocks: readonly WantedBlock[],
    options?: SaveWantedOptions,
  ): Promise<SaveResult | 'payload-needed'> {
    const believed = blocks.filter(({ payload }) => payload === undefined).map(({ key }) => key);
    if (believed.length > 0) {
      // That they are stored durably the daemon knows of those alone that it is given.
      if (options?.durable === true) return 'payload-needed';
      const given = new Set(blocks.filter(hasPayload).map(({ key }) => key));
      const asked = believed.filter((key) => !given.has(key));
      const isStored = await this.#client.contains(asked, callOptionsOf(options));
      if (isStored.includes(false)) return 'payload-needed';
    }
    let [saved, savedBytes] = [0, 0];
    // From the last blocks to the first, so that a lookup sees all of them or none.
    for (const { start, run } of runsOf(blocks).reverse()) {
      const parent = start === 0 ? options?.parent : blocks[start - 1].key;
      const result = await this.#client.save(run, { ...saveOptionsOf(options), parent });
      saved += result.saved;
      savedBytes += result.savedBytes;
    }
    return { saved, known: blocks.length - saved, savedBytes };
  }

  /** What comes in goes on to the daemon: there is nothing here that it could be read into. */
  /** What is accepted here would be nowhere yet. */
  openRing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** There is no memory to find them in. */
  shows(): boolean {
    return false;
  }

  /** There are none. */
  takeRings(): void {}

  lease(): undefined {
    return undefined;
  }

  lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    return this.#client.lookup(keys, options);
  }

  contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    return this.#client.contains(keys, options);
  }

  load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    return this.#client.load(keys, options);
  }

  save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    return this.#client.save(blocks, options);
  }

  loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    return this.#client.loadTail(query, options);
  }

  saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    return this.#client.saveTail(tail, options);
  }

  loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    return this.#client.loadRawTail(tip, options);
  }

  saveRawTail(tip: BlockKey, payload: Uint8Array, options?: SaveOptions): Promise<SaveResult> {
    return this.#client.saveRawTail(tip, payload, options);
  }

  prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    return this.#client.prefetch(keys, options);
  }

  flush(options?: CallOptions): Promise<void> {
    return this.#client.flush(options);
  }

  delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    return this.#client.delete(selection, options);
  }

  stats(options?: CallOptions): Promise<StoreStats> {
    return this.#client.stats(options);
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}

type GivenBlock = WantedBlock & { readonly payload: Uint8Array };

function hasPayload(block: WantedBlock): block is GivenBlock {
  return block.payload !== undefined;
}

/** Neighbours that have payloads, and where in the batch each such run begins. */
function runsOf(
  blocks: readonly WantedBlock[],
): { readonly start: number; readonly run: BlockToSave[] }[] {
  const runs: { readonly start: number; readonly run: BlockToSave[] }[] = [];
  let isOpen = false;
  blocks.forEach((block, index) => {
    if (!hasPayload(block)) isOpen = false;
    else if (isOpen) runs[runs.length - 1].run.push(block);
    else {
      runs.push({ start: index, run: [block] });
      isOpen = true;
    }
  });
  return runs;
}

function callOptionsOf(options: CallOptions | undefined): CallOptions {
  return {
    namespace: options?.namespace,
    signal: options?.signal,
    deadlineMs: options?.deadlineMs,
  };
}

function saveOptionsOf(options: SaveOptions | undefined): SaveOptions {
  return {
    ...callOptionsOf(options),
    durable: options?.durable,
    fingerprint: options?.fingerprint,
  };
}
