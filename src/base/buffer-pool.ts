import { assert } from './assert.ts';

/**
 * Memory that is used again: the first touch of fresh pages costs several times what a copy does.
 * The one given back last is taken first, and at most `bytesMax` are kept.
 */
export class BufferPool<Memory extends Uint8Array = Uint8Array> {
  readonly #bytesMax: number;
  readonly #make: (length: number) => Memory;
  readonly #free: Memory[] = [];
  #bytes = 0;

  /** `make` gives fresh memory of that length, or throws what {@link take} throws then. */
  constructor(bytesMax: number, make: (length: number) => Memory) {
    this.#bytesMax = bytesMax;
    this.#make = make;
  }

  /** Bytes that are kept for later. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Memory of at least so many bytes, and not much more; what it holds is anything. */
  take(byteLength: number): Memory {
    if (byteLength < pooledBytesMin) return this.#make(byteLength);
    for (let index = this.#free.length - 1; index >= 0; index -= 1) {
      const { length } = this.#free[index];
      if (length < byteLength || length > 2 * byteLength) continue;
      const [found] = this.#free.splice(index, 1);
      this.#bytes -= length;
      return found;
    }
    return this.#make(byteLength);
  }

  /** Takes back what {@link take} gave. Nobody may use it any more. */
  give(memory: Memory): void {
    if (memory.length < pooledBytesMin || memory.length > this.#bytesMax) return;
    while (this.#bytes + memory.length > this.#bytesMax) {
      this.#bytes -= this.#free.shift()?.length ?? this.#bytes;
    }
    this.#free.push(memory);
    this.#bytes += memory.length;
  }
}

/** Smaller arrays are not worth keeping, and would make the list long. */
const pooledBytesMin = 64 * 1024;

/** Payloads that share a few buffers: so many bytes of them at most, unless one alone is larger. */
const sharedBytesMax = 64 * 1024 * 1024;

/** Memory for several things, and the one way to give it back. */
export interface PooledParts {
  /** One part for each length, of exactly that length. */
  readonly parts: readonly Uint8Array[];
  /** Gives all of it back. Harmless when called again. */
  release(): void;
}

/** The same memory, cut to the length that was asked for. */
export interface ExactMemory {
  take(length: number): Uint8Array;
  give(memory: Uint8Array): void;
}

/** Memory of the pool, which is often longer than what is asked for, cut to its length. */
export function exactly(pool: BufferPool): ExactMemory {
  const whole = new Map<Uint8Array, Uint8Array>();
  return {
    take: (length) => {
      const memory = pool.take(length);
      const part = memory.subarray(0, length);
      whole.set(part, memory);
      return part;
    },
    give: (part) => {
      const memory = whole.get(part);
      assert(memory !== undefined, 'what is given back was taken');
      whole.delete(part);
      pool.give(memory);
    },
  };
}

/** Parts of those lengths, one behind the other in as few buffers as is sensible. Throws what the pool throws. */
export function takeParts(pool: BufferPool, lengths: readonly number[]): PooledParts {
  const taken = takeLeadingParts(pool, lengths);
  if (taken.refusal === undefined) return taken;
  taken.release();
  throw taken.refusal;
}

/** The same, up to the first part for which there is no memory: then with what the pool threw. */
export function takeLeadingParts(
  pool: BufferPool,
  lengths: readonly number[],
): PooledParts & { readonly refusal: Error | undefined } {
  const parts: Uint8Array[] = [];
  const taken: Uint8Array[] = [];
  let most = lengths.length;
  let refusal: Error | undefined;
  while (parts.length < lengths.length) {
    const together = lengthsTogether(lengths.slice(parts.length, parts.length + most));
    const buffer = takeOrError(pool, sumOf(together));
    if (!(buffer instanceof Error)) {
      taken.push(buffer);
      let at = 0;
      for (const length of together) {
        parts.push(buffer.subarray(at, at + length));
        at += length;
      }
    } else if (together.length > 1) {
      // There may be memory for fewer of them.
      most = together.length >>> 1;
    } else {
      refusal = buffer;
      break;
    }
  }
  return {
    parts,
    refusal,
    release: () => {
      for (const buffer of taken.splice(0)) pool.give(buffer);
    },
  };
}

/** The leading ones that share a buffer, at least one. */
function lengthsTogether(lengths: readonly number[]): readonly number[] {
  let sum = 0;
  const end = lengths.findIndex((length, index) => {
    sum += length;
    return index > 0 && sum > sharedBytesMax;
  });
  return end < 0 ? lengths : lengths.slice(0, end);
}

function takeOrError(pool: BufferPool, byteLength: number): Uint8Array | Error {
  try {
    return pool.take(byteLength);
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

function sumOf(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}
