import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { unitsBetween } from './ring-layout.ts';

interface LeftEntry {
  readonly namespace: Namespace;
  readonly keys: readonly BlockKey[];
  /** The position behind it. */
  readonly end: number;
}

/**
 * Keys that a client has left in its ring and the store has not taken out: they are accepted, and nobody finds them yet but
 * by asking. No more than a ring has room for.
 */
export class LeftKeys {
  /** Behind which entry each of them is taken, by namespace. */
  readonly #ends = new Map<Namespace, Map<BlockKey, number>>();
  /** The oldest first. */
  readonly #entries = new Set<LeftEntry>();

  has(namespace: Namespace, key: BlockKey): boolean {
    return this.#ends.get(namespace)?.has(key) === true;
  }

  /** An entry with those keys was left before that position. The caller does not change the keys any more. */
  add(namespace: Namespace, keys: readonly BlockKey[], end: number): void {
    this.#entries.add({ namespace, keys, end });
    let ends = this.#ends.get(namespace);
    if (ends === undefined) {
      ends = new Map();
      this.#ends.set(namespace, ends);
    }
    for (let i = 0; i < keys.length; i += 1) ends.set(keys[i], end);
  }

  /** The store has taken what lies before the position. */
  forget(tail: number): void {
    for (const entry of this.#entries) {
      // What waits is less than half of the positions that there are by far.
      if (unitsBetween(entry.end, tail) >= 2 ** 31) return;
      this.#entries.delete(entry);
      this.#forgetKeys(entry);
    }
  }

  #forgetKeys({ namespace, keys, end }: LeftEntry): void {
    const ends = this.#ends.get(namespace);
    if (ends === undefined) return;
    // One that was left again stays until the last of its entries is taken.
    for (let i = 0; i < keys.length; i += 1) if (ends.get(keys[i]) === end) ends.delete(keys[i]);
    if (ends.size === 0) this.#ends.delete(namespace);
  }
}
