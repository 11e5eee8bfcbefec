import { concatBytes } from '../../src/base/bytes.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import type { ObjectKey, PutCondition, PutResult } from '../../src/objectstore/object-store.ts';
import { epochMs } from './sim-machine.ts';
import type { SimWorldParts } from './sim-machine.ts';

/** An object, and since when it has been there. */
export interface BucketObject {
  readonly bytes: Uint8Array;
  readonly sinceMs: number;
}

/** What the simulation may know of a bucket at any moment, without asking it. */
export interface BucketTruth {
  /** The object, or undefined when there is none. */
  find(key: string): BucketObject | undefined;
  keys(): Iterable<string>;
}

/** How the whole bucket behaves. */
export type BucketMode = 'normal' | 'gone' | 'throttled' | 'refusing puts';

/** The bucket of a simulated world, as it is behind the network. */
export class SimBucket implements BucketTruth {
  readonly store: MemoryObjectStore;
  mode: BucketMode = 'normal';
  /** Hears of every object as it is stored. */
  onStored:
    ((key: ObjectKey, bytes: Uint8Array, before: Uint8Array | undefined) => void) | undefined;
  onDeleted: ((key: ObjectKey) => void) | undefined;
  readonly #parts: SimWorldParts;
  /** The same objects, for {@link find}. */
  readonly #objects = new Map<string, BucketObject>();

  constructor(parts: SimWorldParts) {
    this.#parts = parts;
    const { scheduler } = parts;
    const never = (): never => {
      throw new Error('the bucket does not wait');
    };
    this.store = new MemoryObjectStore({
      wallMs: () => epochMs + scheduler.nowMs,
      nowMs: () => scheduler.nowMs,
      yield: () => Promise.resolve(),
      sleep: never,
      schedule: never,
    });
  }

  find(key: string): BucketObject | undefined {
    return this.#objects.get(key);
  }

  /** Bytes of all objects whose keys begin so. */
  bytesUnder(prefix: string): number {
    let total = 0;
    for (const [key, { bytes }] of this.#objects) {
      if (key.startsWith(prefix)) total += bytes.length;
    }
    return total;
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  async put(
    key: ObjectKey,
    parts: readonly Uint8Array[],
    condition?: PutCondition,
  ): Promise<PutResult> {
    const bytes = concatBytes(parts);
    const result = await this.store.put(key, [bytes], { condition });
    this.#parts.trace.add('bucket', `put ${key} ${bytes.length}: ${result.outcome}`);
    if (result.outcome === 'stored') {
      const before = this.#objects.get(key);
      this.#objects.set(key, { bytes, sinceMs: before?.sinceMs ?? this.#parts.scheduler.nowMs });
      this.onStored?.(key, bytes, before?.bytes);
    }
    return result;
  }

  async delete(key: ObjectKey): Promise<void> {
    await this.store.delete(key);
    this.#parts.trace.add('bucket', `delete ${key}`);
    if (this.#objects.delete(key)) this.onDeleted?.(key);
  }
}
