import type { BlockKey } from '../blocks/block-key.ts';
import type {
  BlockToSave,
  Borrow,
  CallOptions,
  DeleteResult,
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
  Tier,
} from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type {
  PayloadLease,
  SaveRing,
  SaveTailOptions,
  SaveWantedOptions,
  ServedStore,
  WantedBlock,
  WantsOptions,
} from '../blocks/served-store.ts';
import type { CallMeter } from './call-meter.ts';

const tiersByDepth: readonly Tier[] = ['memory', 'disk', 'object'];

/**
 * A store whose calls are counted and timed, for metrics. It stands between the doors of a daemon and
 * the store: its times are those of the store alone, without sockets and without waits for a turn.
 */
export class MeteredStore implements ServedStore {
  readonly #store: ServedStore;
  readonly #meter: CallMeter;

  constructor(store: ServedStore, meter: CallMeter) {
    this.#store = store;
    this.#meter = meter;
  }

  lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    return this.#meter.measure('lookup', () => this.#store.lookup(keys, options));
  }

  contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    return this.#meter.measure('contains', () => this.#store.contains(keys, options));
  }

  wants(keys: readonly BlockKey[], options?: WantsOptions): Promise<readonly boolean[]> {
    return this.#meter.measure('wants', () => this.#store.wants(keys, options));
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    const startMs = this.#meter.nowMs;
    const borrow = await this.#meter.measure('load', () => this.#store.load(keys, options));
    const { blocks } = borrow;
    if (blocks.length === 0) return borrow;
    const depth = Math.max(...blocks.map(({ tier }) => tiersByDepth.indexOf(tier)));
    this.#meter.observeLoad(tiersByDepth[depth], startMs);
    const release = this.#meter.pin(blocks.map(({ payload }) => payload.length));
    return { ...borrow, release: () => release(() => borrow.release()) };
  }

  save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    return this.#meter.measure('save', () => this.#store.save(blocks, options));
  }

  saveWanted(
    blocks: readonly WantedBlock[],
    options?: SaveWantedOptions,
  ): Promise<SaveResult | 'payload-needed'> {
    return this.#meter.measure('save', () => this.#store.saveWanted(blocks, options));
  }

  shows(keys: readonly BlockKey[], namespace: Namespace, kind?: PayloadKind): boolean {
    return this.#store.shows(keys, namespace, kind);
  }

  lease(byteLength: number): PayloadLease | undefined {
    return this.#store.lease(byteLength);
  }

  openRing(): Promise<SaveRing | undefined> {
    return this.#store.openRing();
  }

  takeRings(): void {
    this.#store.takeRings();
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    const startMs = this.#meter.nowMs;
    const tail = await this.#meter.measure('load-tail', () => this.#store.loadTail(query, options));
    return tail && this.#lend(tail, startMs);
  }

  saveTail(tail: TailToSave, options?: SaveTailOptions): Promise<SaveResult> {
    return this.#meter.measure('save-tail', () => this.#store.saveTail(tail, options));
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    const startMs = this.#meter.nowMs;
    const tail = await this.#meter.measure('load-raw-tail', () =>
      this.#store.loadRawTail(tip, options),
    );
    return tail && this.#lend(tail, startMs);
  }

  saveRawTail(tip: BlockKey, payload: Uint8Array, options?: SaveTailOptions): Promise<SaveResult> {
    return this.#meter.measure('save-raw-tail', () =>
      this.#store.saveRawTail(tip, payload, options),
    );
  }

  prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    return this.#meter.measure('prefetch', () => this.#store.prefetch(keys, options));
  }

  flush(options?: CallOptions): Promise<void> {
    return this.#meter.measure('flush', () => this.#store.flush(options));
  }

  delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    return this.#meter.measure('delete', () => this.#store.delete(selection, options));
  }

  /** Not measured: those who ask for numbers would change them. */
  stats(options?: CallOptions): Promise<StoreStats> {
    return this.#store.stats(options);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #lend<Lent extends PayloadBorrow>(lent: Lent, startMs: number): Lent {
    this.#meter.observeLoad(lent.tier, startMs);
    const release = this.#meter.pin([lent.payload.length]);
    return { ...lent, release: () => release(() => lent.release()) };
  }
}
