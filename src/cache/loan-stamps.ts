import { assert } from '../base/assert.ts';
import { stampBytes, stampsMax } from '../platform/shared-memory.ts';
import type { SharedFile, SharedMemory } from '../platform/shared-memory.ts';

/** Numbers of loans have 32 bits, and 0 is none. */
const numbersMax = 2 ** 32;

/**
 * What the store lends now, in a file that clients map to read it. All of it has memory from the beginning, and keeps
 * it: a client that was stopped looks here before it touches memory that it was lent, and that may have been given back
 * meanwhile (docs/decisions/0112).
 */
export class LoanStamps {
  readonly #file: SharedFile;
  readonly #words: Int32Array;
  #last = 0;
  #count = 0;

  /**
   * Makes the file.
   *
   * @throws the system's error; `ENOSPC` when there is no memory for it.
   */
  constructor(memory: SharedMemory, path: string) {
    this.#file = memory.create(path, stampsMax * stampBytes);
    if (!this.#file.reserve(0, this.#file.byteLength)) {
      this.#file.close();
      memory.remove(path);
      throw Object.assign(new Error('there is no room for shared memory'), { code: 'ENOSPC' });
    }
    const { buffer, byteOffset, byteLength } = this.#file.map();
    this.#words = new Int32Array(buffer, byteOffset, byteLength / 4);
  }

  /** A number that no other loan has, stamped until {@link end}; undefined when there are as many as may be. */
  begin(salt: number): number | undefined {
    if (this.#count === stampsMax) return undefined;
    let number = this.#last;
    do number = (number + 1) % numbersMax;
    while (number === 0 || this.#numberAt(number) !== 0);
    this.#last = number;
    this.#count += 1;
    Atomics.store(this.#words, wordOf(number), salt | 0);
    Atomics.store(this.#words, wordOf(number) + 1, number | 0);
    return number;
  }

  /** Whoever has not begun to write does not any more. */
  end(number: number): void {
    assert(this.#numberAt(number) === number, 'a loan ends once');
    this.#count -= 1;
    Atomics.store(this.#words, wordOf(number) + 1, 0);
  }

  close(): void {
    this.#file.close();
  }

  #numberAt(number: number): number {
    return Atomics.load(this.#words, wordOf(number) + 1) >>> 0;
  }
}

function wordOf(number: number): number {
  return (number % stampsMax) * (stampBytes / 4);
}
