import { concatBytes } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import {
  cutRange,
  memoryForBody,
  requireKey,
  requireListArguments,
  unchangedBody,
  requireGetOptions,
} from './call-arguments.ts';
import { CallGate } from './call-gate.ts';
import type { Call } from './call-gate.ts';
import { byteTextOf } from './object-key.ts';
import { objectLimits } from './object-limits.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectBody,
  ObjectCallOptions,
  ObjectInfo,
  ObjectKey,
  ObjectPage,
  ObjectStore,
  PutCondition,
  PutOptions,
  PutResult,
} from './object-store.ts';

export interface MemoryObjectStoreOptions {
  /** Bytes of bodies and keys held at most; beyond it puts are `UNAVAILABLE`. 1 GiB by default. */
  readonly byteLengthMax?: number | undefined;
}

interface MemoryObject {
  readonly info: ObjectInfo;
  readonly bytes: Uint8Array;
}

/**
 * A bucket that lives and ends with this object: for tests, trials and the simulator. Bytes are
 * copied in and out. Every call lets other work of the event loop run first, as a real bucket does.
 */
export class MemoryObjectStore implements ObjectStore {
  readonly url = 'memory:';
  readonly #clock: Clock;
  readonly #byteLengthMax: number;
  readonly #gate = new CallGate('memory:');
  readonly #objects = new Map<ObjectKey, MemoryObject>();
  /** The keys in byte order; undefined when a key came or went since the last list. */
  #ordered: readonly OrderedKey[] | undefined;
  #byteLength = 0;
  #puts = 0;

  constructor(clock: Clock, options: MemoryObjectStoreOptions = {}) {
    this.#clock = clock;
    this.#byteLengthMax = options.byteLengthMax ?? objectLimits.memoryBytesMax;
  }

  /** Bytes of bodies and keys held now. */
  get byteLength(): number {
    return this.#byteLength;
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    return this.#run('put', key, options, async () => this.#store(key, parts, options.condition));
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    return this.#run('get', key, options, async (call) => {
      requireGetOptions(options);
      const object = this.#objects.get(key);
      if (object === undefined) return undefined;
      const { etag } = object.info;
      if (etag === options.unlessEtag) return unchangedBody(key, etag);
      const { offset, length } = cutRange(options.range, object.bytes.length);
      const bytes = memoryForBody(options, length);
      call.check();
      bytes.set(object.bytes.subarray(offset, offset + length));
      return { info: object.info, bytes };
    });
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#run('head', key, options, async () => this.#objects.get(key)?.info);
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    return this.#gate.run(`list of ${prefix}`, options.signal, async (call) => {
      const limit = requireListArguments(prefix, options);
      await this.#clock.yield();
      call.check();
      return this.#page(prefix, options.startAfter ?? '', limit);
    });
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#run('delete', key, options, async () => {
      const object = this.#objects.get(key);
      if (object === undefined) return;
      this.#objects.delete(key);
      this.#byteLength -= weightOf(key, object.bytes.length);
      this.#ordered = undefined;
    });
  }

  close(): Promise<void> {
    return this.#gate.close();
  }

  #run<Result>(
    verb: string,
    key: ObjectKey,
    options: ObjectCallOptions,
    task: (call: Call) => Promise<Result>,
  ): Promise<Result> {
    return this.#gate.run(`${verb} of ${key}`, options.signal, async (call) => {
      requireKey(key);
      await this.#clock.yield();
      call.check();
      return task(call);
    });
  }

  #store(
    key: ObjectKey,
    parts: readonly Uint8Array[],
    condition: PutCondition | undefined,
  ): PutResult {
    const existing = this.#objects.get(key);
    if (condition?.kind === 'if-absent' && existing !== undefined) return { outcome: 'present' };
    if (condition?.kind === 'if-match' && existing?.info.etag !== condition.etag) {
      return { outcome: 'changed' };
    }
    const freed = existing === undefined ? 0 : weightOf(key, existing.bytes.length);
    const taken = weightOf(
      key,
      parts.reduce((sum, part) => sum + part.length, 0),
    );
    if (this.#byteLength - freed + taken > this.#byteLengthMax) {
      throw new StoreError(
        'UNAVAILABLE',
        `put of ${key}: ${taken} bytes with the ${this.#byteLength - freed} held exceed ` +
          `${this.#byteLengthMax} of this memory store`,
      );
    }
    const bytes = concatBytes(parts);
    this.#puts += 1;
    const info = this.#infoOf(key, bytes.length);
    this.#objects.set(key, { info, bytes });
    this.#byteLength += taken - freed;
    if (existing === undefined) this.#ordered = undefined;
    return condition === undefined ? { outcome: 'stored', etag: info.etag } : { outcome: 'stored' };
  }

  #infoOf(key: ObjectKey, byteLength: number): ObjectInfo {
    return { key, byteLength, etag: `${this.#puts}`, modifiedMs: this.#clock.wallMs() };
  }

  #page(prefix: string, startAfter: string, limit: number): ObjectPage {
    const ordered = (this.#ordered ??= orderedKeys(this.#objects.keys()));
    const after = byteTextOf(startAfter);
    const from = byteTextOf(prefix);
    const objects: ObjectInfo[] = [];
    for (let at = firstIndex(ordered, from, after); at < ordered.length; at += 1) {
      const key = ordered[at]?.key;
      const info = key === undefined ? undefined : this.#objects.get(key)?.info;
      if (info === undefined || !info.key.startsWith(prefix)) break;
      if (objects.length === limit) return { objects, isTruncated: true };
      objects.push(info);
    }
    return { objects, isTruncated: false };
  }
}

interface OrderedKey {
  readonly key: ObjectKey;
  readonly byteText: string;
}

function orderedKeys(keys: Iterable<ObjectKey>): readonly OrderedKey[] {
  return [...keys]
    .map((key) => ({ key, byteText: byteTextOf(key) }))
    .sort((a, b) => (a.byteText < b.byteText ? -1 : 1));
}

/** Index of the first key that is at or after `from` and after `after`. */
function firstIndex(ordered: readonly OrderedKey[], from: string, after: string): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const byteText = ordered[middle]?.byteText ?? '';
    if (byteText < from || byteText <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}

function weightOf(key: ObjectKey, bodyBytes: number): number {
  return bodyBytes + Buffer.byteLength(key);
}
