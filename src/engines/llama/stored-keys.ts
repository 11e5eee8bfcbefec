import { BoundedMap } from '../../base/bounded-map.ts';
import type { BlockKey } from '../../blocks/block-key.ts';

/** Keys remembered, so that nothing is exported for them again: about 30 MB at most. */
const storedKeysMax = 262_144;

/** Blocks and tails that this engine knows to be stored, by key and digest. */
export class StoredKeys {
  readonly #keys = new BoundedMap<BlockKey, true>(storedKeysMax);

  has(key: BlockKey): boolean {
    return this.#keys.get(key) === true;
  }

  add(keys: Iterable<BlockKey>): void {
    for (const key of keys) this.#keys.set(key, true);
  }

  /** The store has lost them; they can be saved again. */
  delete(keys: Iterable<BlockKey>): void {
    for (const key of keys) this.#keys.delete(key);
  }
}
