import { assert } from './assert.ts';

/** Smaller arrays are cheaper made than kept. */
const keptBytesMin = 32 * 1024;

/**
 * Memory that is used again: the first touch of fresh memory costs several times what a copy does.
 * Keeps at most so many bytes of what was given back, exact lengths only: payloads of one model are
 * equally long.
 */
export class BytePool {
  readonly #keptBytesMax: number;
  readonly #make: (length: number) => Uint8Array;
  readonly #free = new Map<number, Uint8Array[]>();
  #keptBytes = 0;

  /** `make` gives fresh memory of that length, alone in its buffer, or throws what {@link take} throws then. */
  constructor(keptBytesMax: number, make = (length: number): Uint8Array => new Uint8Array(length)) {
    this.#keptBytesMax = keptBytesMax;
    this.#make = make;
  }

  /** Bytes kept for later. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** An array of that length with whatever is in it. The caller owns it. */
  take(length: number): Uint8Array {
    const found = this.#free.get(length);
    const bytes = found?.pop();
    if (bytes === undefined) return this.#make(length);
    if (found?.length === 0) this.#free.delete(length);
    this.#keptBytes -= length;
    return bytes;
  }

  /** Gives an array of {@link take} back; it is not the caller's any more. */
  give(bytes: Uint8Array): void {
    assert(bytes.length === bytes.buffer.byteLength, 'an array of the pool is a whole one');
    if (bytes.length < keptBytesMin || bytes.length > this.#keptBytesMax) return;
    while (this.#keptBytes + bytes.length > this.#keptBytesMax) this.#dropOldest();
    const same = this.#free.get(bytes.length);
    if (same === undefined) this.#free.set(bytes.length, [bytes]);
    else same.push(bytes);
    this.#keptBytes += bytes.length;
  }

  /** Forgets everything that is kept. */
  clear(): void {
    this.#free.clear();
    this.#keptBytes = 0;
  }

  /** Drops one array of the length that has been kept the longest. */
  #dropOldest(): void {
    for (const [length, arrays] of this.#free) {
      arrays.pop();
      this.#keptBytes -= length;
      if (arrays.length === 0) this.#free.delete(length);
      return;
    }
  }
}
