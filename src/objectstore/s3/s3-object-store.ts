import { setMaxListeners } from 'node:events';
import { StoreError } from '../../base/errors.ts';
import { requireKey, requireGetOptions, requireListArguments } from '../call-arguments.ts';
import { CallGate } from '../call-gate.ts';
import type { Call } from '../call-gate.ts';
import { parseObjectKey } from '../object-key.ts';
import { objectLimits } from '../object-limits.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectBody,
  ObjectCallOptions,
  ObjectInfo,
  ObjectKey,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutResult,
} from '../object-store.ts';
import type { S3Connection } from './s3-connection.ts';
import { S3Download } from './s3-download.ts';
import { listPage } from './s3-listing.ts';
import { S3Put } from './s3-put.ts';

export interface S3ObjectStoreParts {
  /** Canonical, without secrets. */
  readonly url: string;
  /** What every key begins with in the bucket: empty, or names that end in `/`. */
  readonly root: string;
  /** The store closes it. */
  readonly connection: S3Connection;
  readonly sizes?: S3Sizes | undefined;
}

/** Sizes at which bodies are cut; those of `objectLimits` when absent. */
export interface S3Sizes {
  readonly multipartBytesMin: number;
  readonly parallelGetBytesMin: number;
  readonly partBytes: number;
}

const defaultSizes: S3Sizes = {
  multipartBytesMin: objectLimits.s3MultipartBytesMin,
  parallelGetBytesMin: objectLimits.s3ParallelGetBytesMin,
  partBytes: objectLimits.s3PartBytes,
};

/**
 * A bucket behind the S3 protocol. docs/OBJECT-STORES.md says what is asked of the server and what
 * each call costs there. Retries, limits and meters are wrappers around it.
 */
export class S3ObjectStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #connection: S3Connection;
  readonly #put: S3Put;
  readonly #download: S3Download;
  readonly #gate: CallGate;
  readonly #closing = new AbortController();

  constructor({ url, root, connection, sizes = defaultSizes }: S3ObjectStoreParts) {
    const { parallelGetBytesMin, partBytes, multipartBytesMin } = sizes;
    this.url = url;
    this.#root = root;
    this.#connection = connection;
    this.#put = new S3Put(connection, { multipartBytesMin, partBytes });
    this.#download = new S3Download(connection, {
      parallelBytesMin: parallelGetBytesMin,
      partBytes,
    });
    this.#gate = new CallGate(url);
    // Every call under way listens, and stops listening when it ends.
    setMaxListeners(0, this.#closing.signal);
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    return this.#run('put', key, options, async (call, signal, whole) => {
      const { condition } = options;
      return this.#put.put({ key: whole, parts, condition, call, signal });
    });
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    return this.#run('get', key, options, async (call, signal, whole) => {
      requireGetOptions(options);
      // From the first byte on the caller's memory is written to; the request ends with the signal.
      const body = await call.hold(() => this.#download.get({ key: whole, options, signal }));
      return body === undefined ? undefined : { ...body, info: { ...body.info, key } };
    });
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#run('head', key, options, async (_, signal, whole) => {
      const info = await this.#download.head({ key: whole, signal });
      return info === undefined ? undefined : { ...info, key };
    });
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    return this.#guarded(`list of ${prefix}`, options, (_, signal) => {
      const limit = requireListArguments(prefix, options);
      const { startAfter } = options;
      return listPage(this.#connection, { prefix, startAfter, limit, root: this.#root, signal });
    });
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#run('delete', key, options, async (_, signal, whole) => {
      const what = `delete of ${key}`;
      const request = { what, method: 'DELETE', key: whole, answers: [404], signal } as const;
      await this.#connection.send(request);
    });
  }

  async close(): Promise<void> {
    const ended = this.#gate.close();
    this.#closing.abort();
    await ended;
    await this.#connection.close();
  }

  /** Runs a call on an object; the task is given the key in the bucket. */
  #run<Result>(
    verb: string,
    key: ObjectKey,
    options: ObjectCallOptions,
    task: (call: Call, signal: AbortSignal, wholeKey: ObjectKey) => Promise<Result>,
  ): Promise<Result> {
    return this.#guarded(`${verb} of ${key}`, options, async (call, signal) => {
      requireKey(key);
      return task(call, signal, this.#wholeKey(key));
    });
  }

  /** Ends the task with the caller's signal or with close, and says so. */
  #guarded<Result>(
    what: string,
    { signal: given }: ObjectCallOptions,
    task: (call: Call, signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    return this.#gate.run(what, given, async (call) => {
      const controller = new AbortController();
      const closing = this.#closing.signal;
      const end = (): void => controller.abort(given?.reason);
      given?.addEventListener('abort', end);
      closing.addEventListener('abort', end);
      try {
        return await task(call, controller.signal);
      } catch (error) {
        // Why it ended is what the caller is told, not how the request noticed.
        if (controller.signal.aborted) call.check();
        throw error;
      } finally {
        given?.removeEventListener('abort', end);
        closing.removeEventListener('abort', end);
      }
    });
  }

  #wholeKey(key: ObjectKey): ObjectKey {
    if (this.#root === '') return key;
    try {
      return parseObjectKey(this.#root + key);
    } catch (error) {
      throw new StoreError('INVALID', `${key} below ${this.#root} is too long for S3`, {
        cause: error,
      });
    }
  }
}
