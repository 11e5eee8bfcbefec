import { assert } from './assert.ts';

/** A map that forgets what was put in first when it is full. */
export class BoundedMap<Key, Value> {
  readonly #entries = new Map<Key, Value>();
  /**
   * Stands before the oldest entry: whatever it passes is deleted. A new iterator for each would
   * step over all that was deleted before, which took 68 µs at 65,536 entries.
   */
  readonly #oldest: Iterator<Key, undefined>;
  readonly #sizeMax: number;

  constructor(sizeMax: number) {
    assert(sizeMax > 0, `map of at most ${sizeMax} entries`);
    this.#sizeMax = sizeMax;
    this.#oldest = this.#entries.keys();
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key);
  }

  /** Puts the entry in as the newest one. Gives the key of the one that it forgets for that. */
  set(key: Key, value: Value): Key | undefined {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#sizeMax) return undefined;
    const oldest = this.#oldest.next();
    assert(oldest.done !== true, 'a map over its size has an oldest entry');
    this.#entries.delete(oldest.value);
    return oldest.value;
  }

  /** All entries, the oldest first. */
  entries(): IterableIterator<[Key, Value]> {
    return this.#entries.entries();
  }

  delete(key: Key): void {
    this.#entries.delete(key);
  }
}
