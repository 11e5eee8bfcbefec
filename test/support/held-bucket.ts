import { deferred } from '../../src/base/deferred.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectBody,
  ObjectCallOptions,
  ObjectInfo,
  ObjectKey,
  ObjectPage,
  ObjectStore,
  ObjectVerb,
  PutOptions,
  PutResult,
} from '../../src/objectstore/object-store.ts';

/** A call that is held on its way to the bucket, or on the way back. */
export interface HeldCall {
  /** Resolves when the call has come so far. */
  readonly held: Promise<void>;
  /** Lets it go on. */
  release(): void;
}

interface Hold extends HeldCall {
  readonly verb: ObjectVerb;
  readonly isBefore: boolean;
  readonly reach: () => void;
  readonly released: Promise<void>;
}

/**
 * A bucket whose calls can be held one by one, before the bucket hears of them or with their answers on the way,
 * and which counts what is asked of it. Sits where the network would be.
 */
export class HeldBucket implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #holds: Hold[] = [];
  /** Calls so far, by verb. */
  readonly calls: Record<ObjectVerb, number> = { put: 0, get: 0, head: 0, list: 0, delete: 0 };
  /** Bytes of bodies that gets brought. */
  readBytes = 0;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
    this.url = inner.url;
  }

  /** Holds the next call of the verb that is not held yet: before the bucket hears of it, or its answer. */
  hold(verb: ObjectVerb, where: 'before' | 'answer'): HeldCall {
    const reached = deferred<void>();
    const released = deferred<void>();
    const hold = {
      ...{ verb, isBefore: where === 'before', held: reached.promise },
      ...{ reach: () => reached.resolve(), release: () => released.resolve() },
      released: released.promise,
    };
    this.#holds.push(hold);
    return hold;
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options?: PutOptions): Promise<PutResult> {
    return this.#call('put', () => this.#inner.put(key, parts, options));
  }

  async get(key: ObjectKey, options?: GetOptions): Promise<ObjectBody | undefined> {
    const body = await this.#call('get', () => this.#inner.get(key, options));
    this.readBytes += body?.bytes.length ?? 0;
    return body;
  }

  head(key: ObjectKey, options?: ObjectCallOptions): Promise<ObjectInfo | undefined> {
    return this.#call('head', () => this.#inner.head(key, options));
  }

  list(prefix: string, options?: ListOptions): Promise<ObjectPage> {
    return this.#call('list', () => this.#inner.list(prefix, options));
  }

  delete(key: ObjectKey, options?: ObjectCallOptions): Promise<void> {
    return this.#call('delete', () => this.#inner.delete(key, options));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #call<Result>(verb: ObjectVerb, request: () => Promise<Result>): Promise<Result> {
    this.calls[verb] += 1;
    const at = this.#holds.findIndex((hold) => hold.verb === verb);
    const hold = at < 0 ? undefined : this.#holds.splice(at, 1)[0];
    if (hold?.isBefore === true) {
      hold.reach();
      await hold.released;
    }
    const result = await request();
    if (hold?.isBefore === false) {
      hold.reach();
      await hold.released;
    }
    return result;
  }
}
