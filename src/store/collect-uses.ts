import { assert } from '../base/assert.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';

/** What a deeper block counts as used earlier. 65,536 of them make 64 ms. */
const stepMs = 1 / 1024;

type TimesByKind = Readonly<Record<PayloadKind, Map<BlockKey, number>>>;
type Generation = Map<Namespace, TimesByKind>;

/**
 * When payloads were last used. Remembers the latest `sizeMin` at least and twice as many at most:
 * notes go into a young generation, which becomes the old one when it is full; the old one before is
 * forgotten. So a note costs one map entry and no order is kept.
 */
export class RecentUses {
  readonly #sizeMin: number;
  #young: Generation = new Map();
  #old: Generation = new Map();
  #youngSize = 0;

  constructor(sizeMin: number) {
    assert(sizeMin > 0, `memory for ${sizeMin} uses`);
    this.#sizeMin = sizeMin;
  }

  /** Keys of one chain are given in its order: the end counts as used a little before the rest. */
  note(use: {
    readonly namespace: Namespace;
    readonly kind: PayloadKind;
    readonly keys: readonly BlockKey[];
    readonly atMs: number;
  }): void {
    const { namespace, kind, keys, atMs } = use;
    if (keys.length === 0) return;
    let times = this.#timesOf(namespace, kind);
    for (const [index, key] of keys.entries()) {
      if (this.#youngSize === this.#sizeMin) {
        this.#turnOver();
        times = this.#timesOf(namespace, kind);
      }
      const sizeBefore = times.size;
      times.set(key, atMs - index * stepMs);
      this.#youngSize += times.size - sizeBefore;
    }
  }

  /** When the payload was last noted; minus infinity when nothing is remembered of it. */
  lastMs(namespace: Namespace, kind: PayloadKind, key: BlockKey): number {
    const young = this.#young.get(namespace)?.[kind].get(key);
    return young ?? this.#old.get(namespace)?.[kind].get(key) ?? -Infinity;
  }

  #timesOf(namespace: Namespace, kind: PayloadKind): Map<BlockKey, number> {
    let times = this.#young.get(namespace);
    if (times === undefined) {
      times = { block: new Map(), tail: new Map(), 'raw-tail': new Map() };
      this.#young.set(namespace, times);
    }
    return times[kind];
  }

  #turnOver(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngSize = 0;
  }
}
