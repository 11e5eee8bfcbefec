import { isStoreError, messageOf } from '../base/errors.ts';
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
} from './object-store.ts';
import type { BilledRequests, RequestLedger } from './request-ledger.ts';

/** What a {@link MeteredObjectStore} counted since it was made. */
export interface ObjectStoreMeter {
  /** Calls by verb, whatever became of them. */
  readonly requests: Readonly<Record<ObjectVerb, number>>;
  /** Calls by verb that rejected, those that their caller aborted not counted. */
  readonly failures: Readonly<Record<ObjectVerb, number>>;
  /** Calls that their caller's signal ended. */
  readonly aborted: number;
  /** Bytes of bodies that get gave. */
  readonly readBytes: number;
  /** Bytes of bodies that put stored; one found present or changed counts as a request only. */
  readonly writtenBytes: number;
  /** The message of the last failure. */
  readonly lastFailure: string | undefined;
  /** Requests by what they cost: those of the ledger, or the calls where there is none. */
  readonly billed: BilledRequests;
}

/**
 * Counts calls, bytes and failures. Directly on the store that makes the requests, below retries
 * (`retrying(metered(s3))`), each attempt counts; around everything, each call does. What a store
 * below does for one call (parts of an upload, a second request) counts only in `billed`, and only
 * when that store writes to the ledger that this one is given.
 */
export class MeteredObjectStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #requests = noneByVerb();
  readonly #failures = noneByVerb();
  #aborted = 0;
  #readBytes = 0;
  #writtenBytes = 0;
  #lastFailure: string | undefined;
  readonly #ledger: RequestLedger | undefined;

  constructor(inner: ObjectStore, ledger?: RequestLedger) {
    this.#inner = inner;
    this.#ledger = ledger;
    this.url = inner.url;
  }

  /** The counts now. Later calls do not change it. */
  snapshot(): ObjectStoreMeter {
    return {
      requests: { ...this.#requests },
      failures: { ...this.#failures },
      aborted: this.#aborted,
      readBytes: this.#readBytes,
      writtenBytes: this.#writtenBytes,
      lastFailure: this.#lastFailure,
      billed: this.#ledger?.snapshot() ?? billedAs(this.#requests),
    };
  }

  async put(
    key: ObjectKey,
    parts: readonly Uint8Array[],
    options?: PutOptions,
  ): Promise<PutResult> {
    // Summed before the call: afterwards the parts are the caller's again.
    const byteLength = parts.reduce((sum, part) => sum + part.length, 0);
    const result = await this.#counted('put', () => this.#inner.put(key, parts, options));
    if (result.outcome === 'stored') this.#writtenBytes += byteLength;
    return result;
  }

  async get(key: ObjectKey, options?: GetOptions): Promise<ObjectBody | undefined> {
    const body = await this.#counted('get', () => this.#inner.get(key, options));
    this.#readBytes += body?.bytes.length ?? 0;
    return body;
  }

  head(key: ObjectKey, options?: ObjectCallOptions): Promise<ObjectInfo | undefined> {
    return this.#counted('head', () => this.#inner.head(key, options));
  }

  list(prefix: string, options?: ListOptions): Promise<ObjectPage> {
    return this.#counted('list', () => this.#inner.list(prefix, options));
  }

  delete(key: ObjectKey, options?: ObjectCallOptions): Promise<void> {
    return this.#counted('delete', () => this.#inner.delete(key, options));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #counted<Result>(verb: ObjectVerb, request: () => Promise<Result>): Promise<Result> {
    this.#requests[verb] += 1;
    try {
      return await request();
    } catch (error) {
      if (isStoreError(error, 'ABORTED')) this.#aborted += 1;
      else {
        this.#failures[verb] += 1;
        this.#lastFailure = messageOf(error);
      }
      throw error;
    }
  }
}

function billedAs(requests: Readonly<Record<ObjectVerb, number>>): BilledRequests {
  const { put, get, head, list, delete: deletes } = requests;
  return { write: put + list, read: get + head, free: deletes };
}

function noneByVerb(): Record<ObjectVerb, number> {
  return { put: 0, get: 0, head: 0, list: 0, delete: 0 };
}
