import { StoreError } from '../../src/base/errors.ts';
import type { ObjectCallOptions, ObjectStore } from '../../src/objectstore/object-store.ts';
import type { BucketFaults, BucketMode } from '../conformance/kv-store-harness.ts';
import type { ProcessGate } from './process-gate.ts';

/** The faults of one world, shared by the views that its stores have of the bucket. */
export class BucketSwitch implements BucketFaults {
  #mode: BucketMode = 'none';
  readonly #hanging = new Set<() => void>();

  get mode(): BucketMode {
    return this.#mode;
  }

  setMode(mode: BucketMode): Promise<void> {
    this.#mode = mode;
    for (const wake of [...this.#hanging]) wake();
    return Promise.resolve();
  }

  /** Fails, hangs or resolves, as a request of this kind would now. */
  async meet(kind: 'put' | 'other', signal: AbortSignal | undefined): Promise<void> {
    const mode = this.#mode;
    switch (mode) {
      case 'none':
        return;
      case 'unavailable':
        throw new StoreError('UNAVAILABLE', 'the bucket is gone (test)');
      case 'refuse-puts':
        if (kind === 'put') throw new StoreError('UNAVAILABLE', 'put refused with 403 (test)');
        return;
      case 'slow':
        return this.#hang(signal);
      default:
        mode satisfies never;
    }
  }

  #hang(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((_, reject) => {
      const end = (error: StoreError): void => {
        this.#hanging.delete(wake);
        signal?.removeEventListener('abort', onAbort);
        reject(error);
      };
      const onAbort = (): void =>
        end(new StoreError('ABORTED', 'request aborted (test)', { cause: signal?.reason }));
      const wake = (): void => end(new StoreError('UNAVAILABLE', 'connection lost (test)'));
      this.#hanging.add(wake);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }
}

/**
 * The bucket as one store of the world sees it, through the gate of its process. Sits directly on
 * the bucket, under wrappers that retry or count. Closing it leaves the bucket open.
 */
export function switchedBucket(
  inner: ObjectStore,
  faults: BucketSwitch,
  gate: ProcessGate,
): ObjectStore {
  const request = async <Result>(
    kind: 'put' | 'other',
    options: ObjectCallOptions | undefined,
    send: () => Promise<Result>,
  ): Promise<Result> => {
    await gate.watch(faults.meet(kind, options?.signal));
    return gate.pass(send);
  };
  return {
    url: inner.url,
    put: (key, parts, options) => request('put', options, () => inner.put(key, parts, options)),
    get: (key, options) => request('other', options, () => inner.get(key, options)),
    head: (key, options) => request('other', options, () => inner.head(key, options)),
    list: (prefix, options) => request('other', options, () => inner.list(prefix, options)),
    delete: (key, options) => request('other', options, () => inner.delete(key, options)),
    close: () => Promise.resolve(),
  };
}
