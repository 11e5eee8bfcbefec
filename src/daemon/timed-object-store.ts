import { isStoreError } from '../base/errors.ts';
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
} from '../objectstore/object-store.ts';
import type { Clock } from '../platform/clock.ts';
import { Counter, Histogram, renderFamily } from './metrics-registry.ts';

/** How long calls on an object store took, and how they failed. */
export class RequestMeter {
  readonly #clock: Clock;
  readonly #seconds = new Histogram();
  readonly #failures = new Counter();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async measure<Result>(verb: ObjectVerb, request: () => Promise<Result>): Promise<Result> {
    const startMs = this.#clock.nowMs();
    try {
      return await request();
    } catch (error) {
      const code = isStoreError(error) ? error.code.toLowerCase() : 'failed';
      this.#failures.add({ verb, code });
      throw error;
    } finally {
      this.#seconds.observe({ verb }, (this.#clock.nowMs() - startMs) / 1000);
    }
  }

  /** What was counted, in the text format of Prometheus. */
  render(): string {
    const seconds = {
      name: 'wombatkv_object_request_seconds',
      type: 'histogram',
      help: 'Time of calls on the object store by verb, repeated attempts included.',
    } as const;
    const failures = {
      name: 'wombatkv_object_failures_total',
      type: 'counter',
      help: 'Calls on the object store that failed, by verb and by the code of the error.',
    } as const;
    return renderFamily(seconds, this.#seconds) + renderFamily(failures, this.#failures.samples);
  }
}

/**
 * An object store whose calls are timed. Around retries and limits, so that its times are those which
 * the store waits for; what the requests cost is counted below.
 */
export class TimedObjectStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #meter: RequestMeter;

  constructor(inner: ObjectStore, meter: RequestMeter) {
    this.url = inner.url;
    this.#inner = inner;
    this.#meter = meter;
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options?: PutOptions): Promise<PutResult> {
    return this.#meter.measure('put', () => this.#inner.put(key, parts, options));
  }

  get(key: ObjectKey, options?: GetOptions): Promise<ObjectBody | undefined> {
    return this.#meter.measure('get', () => this.#inner.get(key, options));
  }

  head(key: ObjectKey, options?: ObjectCallOptions): Promise<ObjectInfo | undefined> {
    return this.#meter.measure('head', () => this.#inner.head(key, options));
  }

  list(prefix: string, options?: ListOptions): Promise<ObjectPage> {
    return this.#meter.measure('list', () => this.#inner.list(prefix, options));
  }

  delete(key: ObjectKey, options?: ObjectCallOptions): Promise<void> {
    return this.#meter.measure('delete', () => this.#inner.delete(key, options));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
