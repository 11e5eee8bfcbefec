import { pathOfKey } from '../../src/objectstore/key-path.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import { FileNode } from './disk-nodes.ts';
import type { Scheduler } from './scheduler.ts';
import { sameBytes } from './same-bytes.ts';
import type { BucketObject, BucketTruth } from './sim-bucket.ts';
import type { SimDisk } from './sim-disk.ts';

/** What a directory store holds, read off the simulated disk, and what it has confirmed. */
export class DirectoryTruth implements BucketTruth {
  readonly #disk: SimDisk;
  readonly #root: string;
  readonly #scheduler: Scheduler;
  /** Objects whose put has resolved, and when. Raw tails may be replaced, so they are not in it. */
  readonly #confirmed = new Map<string, number>();
  #before = new Map<string, Uint8Array>();

  constructor(disk: SimDisk, root: string, scheduler: Scheduler) {
    this.#disk = disk;
    this.#root = root;
    this.#scheduler = scheduler;
  }

  find(key: string): BucketObject | undefined {
    const node = this.#disk.find(`${this.#root}/${pathOfKey(parseObjectKey(key))}`);
    if (!(node instanceof FileNode)) return undefined;
    const sinceMs = this.#confirmed.get(key) ?? this.#scheduler.nowMs;
    return { bytes: node.bytes, sinceMs };
  }

  keys(): Iterable<string> {
    return this.#confirmed.keys();
  }

  confirm(key: string): void {
    if (key.includes('/rawtail/') || this.#confirmed.has(key)) return;
    this.#confirmed.set(key, this.#scheduler.nowMs);
  }

  forget(key: string): void {
    this.#confirmed.delete(key);
  }

  beforePowerLoss(): void {
    this.#before = new Map();
    for (const key of this.#confirmed.keys()) {
      const object = this.find(key);
      if (object !== undefined) this.#before.set(key, object.bytes.slice());
    }
  }

  /** Objects that were confirmed before the power failed and are not whole after it. */
  lostObjects(): readonly string[] {
    return [...this.#before].flatMap(([key, bytes]) => {
      const object = this.find(key);
      return object !== undefined && sameBytes(object.bytes, bytes) ? [] : [key];
    });
  }
}

/** The directory store with its confirmations noted. Sits directly on it. */
export function watchedDirectory(inner: ObjectStore, truth: DirectoryTruth): ObjectStore {
  return {
    url: inner.url,
    async put(key, parts, options) {
      const result = await inner.put(key, parts, options);
      if (result.outcome !== 'changed') truth.confirm(key);
      return result;
    },
    get: (key, options) => inner.get(key, options),
    head: (key, options) => inner.head(key, options),
    list: (prefix, options) => inner.list(prefix, options),
    async delete(key, options) {
      truth.forget(key);
      await inner.delete(key, options);
    },
    close: () => inner.close(),
  };
}
