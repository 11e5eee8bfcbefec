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
}

/**
 * Counts calls, bytes and failures. Sits directly on the store that makes the requests, below
 * retries: `retrying(metered(s3))`. So each attempt counts, while what a store below does for one
 * call (parts of an upload, redirects) does not.
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

  constructor(inner: ObjectStore) {
    this.#inner = inner;
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

function noneByVerb(): Record<ObjectVerb, number> {
  return { put: 0, get: 0, head: 0, list: 0, delete: 0 };
}
