import assert from 'node:assert/strict';
import { deferred } from '../../src/base/deferred.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { StoreErrorCode } from '../../src/base/errors.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import type {
  ObjectInfo,
  ObjectKey,
  ObjectStore,
  PutCondition,
  PutResult,
} from '../../src/objectstore/object-store.ts';

/** What an implementation of `ObjectStore` brings to its suite. */
export interface ObjectStoreHarness {
  /** Opens a bucket for one case, which closes it: the same one every time or another. */
  open(): Promise<ObjectStore>;
  /**
   * Lets the contenders put at once, each in a process of its own: `RaceFleet`.
   * A bucket that lives in one process takes {@link racePutsInProcess}.
   */
  racePuts(store: ObjectStore, race: PutRace): Promise<PutResult['outcome'][]>;
  /** Removes all buckets. */
  cleanup(): Promise<void>;
}

/** Puts of one key at once. Contender `n` puts `byteLength` bytes of value `n`. */
export interface PutRace {
  readonly key: ObjectKey;
  readonly condition: PutCondition;
  readonly contenders: number;
  readonly byteLength: number;
}

/** The order of one child of a race. */
export interface PutRaceOrder extends PutRace {
  readonly url: string;
  readonly contender: number;
  /** Of a server on this machine whose buckets are names of hosts below it. */
  readonly domain?: string | undefined;
}

/** The bucket of one case, seen through keys that belong to the case alone. */
export class CaseBucket {
  readonly store: ObjectStore;
  readonly harness: ObjectStoreHarness;
  /** All keys of the case begin with it. It ends in `/`. */
  readonly prefix: string;

  constructor(store: ObjectStore, harness: ObjectStoreHarness, prefix: string) {
    this.store = store;
    this.harness = harness;
    this.prefix = prefix;
  }

  key(name: string): ObjectKey {
    return parseObjectKey(`${this.prefix}${name}`);
  }

  async put(name: string, bytes: Uint8Array | string): Promise<ObjectKey> {
    const key = this.key(name);
    assert.equal((await this.store.put(key, [bytesOf(bytes)])).outcome, 'stored');
    return key;
  }

  async text(key: ObjectKey): Promise<string | undefined> {
    const body = await this.store.get(key);
    return body === undefined ? undefined : Buffer.from(body.bytes).toString('utf8');
  }

  async info(key: ObjectKey): Promise<ObjectInfo> {
    const info = await this.store.head(key);
    assert.ok(info !== undefined, `no object ${key}`);
    return info;
  }

  /** Names below the case's prefix that begin with `start`, page by page. */
  async names(start = '', limit?: number): Promise<string[]> {
    const names: string[] = [];
    let startAfter: string | undefined;
    for (;;) {
      const page = await this.store.list(`${this.prefix}${start}`, { startAfter, limit });
      assert.ok(page.objects.length <= (limit ?? 1000));
      names.push(...page.objects.map(({ key }) => key.slice(this.prefix.length)));
      if (!page.isTruncated) return names;
      startAfter = page.objects.at(-1)?.key;
      assert.ok(startAfter !== undefined, 'a page that is cut has objects');
    }
  }
}

/** One clause of the contract. */
export interface ObjectStoreCase {
  readonly name: string;
  readonly run: (bucket: CaseBucket) => Promise<void>;
}

export function bytesOf(content: Uint8Array | string): Uint8Array {
  return typeof content === 'string' ? new TextEncoder().encode(content) : content;
}

/** Fails unless the call rejects with a `StoreError` of the code. */
export async function rejectsWith(code: StoreErrorCode, call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isStoreError(error, code), `expected ${code}, got ${String(error)}`);
    return true;
  });
}

/**
 * The result of the work, which fails unless it settles in time. Keeps the event loop alive
 * meanwhile: timers of a store need not.
 */
export async function inTime<Result>(
  msMax: number,
  what: string,
  work: Promise<Result>,
): Promise<Result> {
  const { promise: expired, reject } = deferred<never>();
  const timer = setTimeout(() => reject(new Error(`${what} took more than ${msMax} ms`)), msMax);
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** The race with all contenders in this process. */
export function racePutsInProcess(
  store: ObjectStore,
  race: PutRace,
): Promise<PutResult['outcome'][]> {
  const contenders = Array.from({ length: race.contenders }, (_, contender) => contender);
  return Promise.all(contenders.map((contender) => putOfContender(store, race, contender)));
}

/** What one contender does. */
export async function putOfContender(
  store: ObjectStore,
  race: PutRace,
  contender: number,
): Promise<PutResult['outcome']> {
  const body = new Uint8Array(race.byteLength).fill(contender);
  const { outcome } = await store.put(race.key, [body], { condition: race.condition });
  return outcome;
}
