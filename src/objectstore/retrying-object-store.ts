import { setMaxListeners } from 'node:events';
import { backoffMs } from '../base/backoff.ts';
import type { BackoffOptions } from '../base/backoff.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Platform } from '../platform/platform.ts';
import { memoryForBody } from './call-arguments.ts';
import { CallGate } from './call-gate.ts';
import type { Call } from './call-gate.ts';
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
  PutOptions,
  PutResult,
} from './object-store.ts';
import { Refusal } from './refusal.ts';
import type { RefusalKind } from './refusal.ts';
import { RetryBudget } from './retry-budget.ts';

export interface RetryPolicy {
  /** Attempts of one call, the first included. */
  readonly attemptsMax: number;
  /** Time of one attempt; bodies get more by {@link attemptBytesPerSecondMin}. */
  readonly attemptMs: number;
  readonly attemptBytesPerSecondMin: number;
  /** Time of one call with all its attempts and waits, as long as a single attempt at least. */
  readonly callMs: number;
  readonly backoff: BackoffOptions;
  /** After a request to slow down. */
  readonly throttledBackoff: BackoffOptions;
}

const defaultPolicy: RetryPolicy = objectLimits.retry;

/** What a {@link RetryingObjectStore} did since it was made. */
export interface RetryCounts {
  /** Attempts that followed a failed one, by what had failed. */
  readonly retries: Readonly<Record<Exclude<RefusalKind, 'final'>, number>>;
  /** Calls that failed after all, having been tried more than once. */
  readonly exhausted: number;
  /** Retries that were not made because too many others had been. */
  readonly overBudget: number;
}

interface Attempt {
  readonly call: Call;
  readonly signal: AbortSignal;
}

/**
 * Repeats calls that failed for a reason that may pass. Sits above the meter, so that each attempt
 * is counted there: `limited(retrying(metered(s3)))`.
 *
 * - An absent object is an answer. A refusal for lack of rights is final. A throttled call waits
 *   longer, and as long as the server asks. Waits have jitter. What is known of a failure is the
 *   `Refusal` that is its cause; without one it counts as transient.
 * - Each attempt has a deadline, and the call another. A call whose next attempt would begin behind
 *   its deadline fails at once. The caller's own signal beats all.
 * - Retries take from a budget that successes fill: when most calls fail, few are repeated, and a
 *   struggling server gets little more than the load it had.
 * - A put that is repeated after its reply was lost tells `present` or `changed` of its own object.
 * - Memory that `allocate` gave for one attempt is used for the next; when the object has changed
 *   its length meanwhile the call fails.
 */
export class RetryingObjectStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #fraction: () => number;
  readonly #policy: RetryPolicy;
  readonly #gate: CallGate;
  readonly #closing = new AbortController();
  readonly #budget = new RetryBudget(objectLimits.retryBudget);
  readonly #retries = { throttled: 0, transient: 0 };
  #exhausted = 0;
  #overBudget = 0;

  constructor(
    inner: ObjectStore,
    { clock, random }: Pick<Platform, 'clock' | 'random'>,
    policy: RetryPolicy = defaultPolicy,
  ) {
    this.url = inner.url;
    this.#inner = inner;
    this.#clock = clock;
    this.#fraction = () => random.fraction();
    this.#policy = policy;
    this.#gate = new CallGate(`retrying ${inner.url}`);
    setMaxListeners(0, this.#closing.signal);
  }

  /** The counts now. Later calls do not change it. */
  get counts(): RetryCounts {
    const { throttled, transient } = this.#retries;
    return {
      retries: { throttled, transient },
      exhausted: this.#exhausted,
      overBudget: this.#overBudget,
    };
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    const byteLength = parts.reduce((sum, part) => sum + part.length, 0);
    return this.#run(`put of ${key}`, { ...options, byteLength }, ({ signal }) =>
      this.#inner.put(key, parts, { ...options, signal }),
    );
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    const memory = new RepeatedMemory(key, options);
    const byteLength = options.range?.length ?? objectLimits.s3ParallelGetBytesMin;
    const expected = Math.min(byteLength, objectLimits.s3ParallelGetBytesMin);
    return this.#run(
      `get of ${key}`,
      { signal: options.signal, byteLength: expected },
      ({ call, signal }) =>
        // The attempt writes to memory of the caller, and ends with the signal itself.
        call.hold(() => this.#inner.get(key, { ...options, signal, allocate: memory.allocate })),
      (error) => memory.isRefusal(error),
    );
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#run(`head of ${key}`, { ...options, byteLength: 0 }, ({ signal }) =>
      this.#inner.head(key, { signal }),
    );
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    return this.#run(`list of ${prefix}`, { ...options, byteLength: 0 }, ({ signal }) =>
      this.#inner.list(prefix, { ...options, signal }),
    );
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#run(`delete of ${key}`, { ...options, byteLength: 0 }, ({ signal }) =>
      this.#inner.delete(key, { signal }),
    );
  }

  async close(): Promise<void> {
    const ended = this.#gate.close();
    this.#closing.abort();
    await this.#inner.close();
    await ended;
  }

  #run<Result>(
    what: string,
    { signal, byteLength }: ObjectCallOptions & { readonly byteLength: number },
    attempt: (attempt: Attempt) => Promise<Result>,
    isFinal: (error: unknown) => boolean = () => false,
  ): Promise<Result> {
    return this.#gate.run(what, signal, async (call) => {
      const { attemptBytesPerSecondMin: pace, attemptMs, callMs, attemptsMax } = this.#policy;
      const attemptDeadlineMs = attemptMs + (byteLength / pace) * 1000;
      const endMs = this.#clock.nowMs() + Math.max(callMs, attemptDeadlineMs);
      for (let failures = 1; ; failures += 1) {
        call.check();
        try {
          const timed = { what, call, signal, ms: attemptDeadlineMs };
          const result = await this.#attempt(timed, attempt);
          this.#budget.succeed();
          return result;
        } catch (error) {
          if (isFinal(error)) throw error;
          call.check();
          const waitMs = this.#waitAfter(error, failures);
          const isLate = this.#clock.nowMs() + (waitMs ?? 0) >= endMs;
          if (waitMs === undefined || failures === attemptsMax || isLate || !this.#mayRetry()) {
            throw this.#afterAll(what, error, failures);
          }
          this.#retries[kindOf(error) === 'throttled' ? 'throttled' : 'transient'] += 1;
          await this.#sleep(waitMs, signal);
        }
      }
    });
  }

  /** Runs the attempt until its deadline; behind it the failure is one that may pass. */
  async #attempt<Result>(
    timed: { what: string; call: Call; signal: AbortSignal | undefined; ms: number },
    attempt: (attempt: Attempt) => Promise<Result>,
  ): Promise<Result> {
    const { what, call, signal, ms } = timed;
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort);
    let isLate = false;
    const timer = this.#clock.schedule(ms, () => {
      isLate = true;
      controller.abort(new Error(`an attempt may take ${ms} ms`));
    });
    try {
      return await attempt({ call, signal: controller.signal });
    } catch (error) {
      if (!isLate || !isStoreError(error, 'ABORTED')) throw error;
      throw new StoreError('UNAVAILABLE', `${what} took more than ${Math.round(ms)} ms`, {
        cause: error,
      });
    } finally {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** How long to wait after the failure, or undefined when it is final. */
  #waitAfter(error: unknown, failures: number): number | undefined {
    const kind = kindOf(error);
    if (kind === 'final') return undefined;
    const { backoff, throttledBackoff } = this.#policy;
    const ours = backoffMs(
      failures,
      this.#fraction(),
      kind === 'throttled' ? throttledBackoff : backoff,
    );
    return Math.max(ours, refusalOf(error)?.retryAfterMs ?? 0);
  }

  #mayRetry(): boolean {
    if (this.#budget.take()) return true;
    this.#overBudget += 1;
    return false;
  }

  #afterAll(what: string, error: unknown, failures: number): unknown {
    if (failures === 1 || !isStoreError(error, 'UNAVAILABLE')) return error;
    this.#exhausted += 1;
    const message = `${what} failed ${failures} times; at last: ${messageOf(error)}`;
    return new StoreError('UNAVAILABLE', message, { cause: refusalOf(error) ?? error });
  }

  /** Ends early when the caller gives up or the store closes; the next check says which. */
  async #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const closing = this.#closing.signal;
    const ended = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    await this.#clock.sleep(ms, ended).catch(() => undefined);
  }
}

/** The memory of one get, over all its attempts. */
class RepeatedMemory {
  readonly #key: ObjectKey;
  readonly #options: GetOptions;
  #bytes: Uint8Array | undefined;
  #refusal: { readonly error: unknown } | undefined;

  constructor(key: ObjectKey, options: GetOptions) {
    this.#key = key;
    this.#options = options;
  }

  readonly allocate = (byteLength: number): Uint8Array => {
    try {
      this.#bytes ??= memoryForBody(this.#options, byteLength);
    } catch (error) {
      this.#refusal = { error };
      throw error;
    }
    if (this.#bytes.length === byteLength) return this.#bytes;
    const what = `get of ${this.#key}: ${byteLength} bytes, and ${this.#bytes.length} before`;
    throw new StoreError('UNAVAILABLE', `${what}: it changed between two attempts`, {
      cause: new Refusal('final', 'the object has another length than in the attempt before'),
    });
  };

  /** True for what the caller's own `allocate` threw: it is not ours to repeat. */
  isRefusal(error: unknown): boolean {
    return this.#refusal !== undefined && this.#refusal.error === error;
  }
}

function refusalOf(error: unknown): Refusal | undefined {
  return error instanceof Error && error.cause instanceof Refusal ? error.cause : undefined;
}

function kindOf(error: unknown): RefusalKind {
  if (!isStoreError(error, 'UNAVAILABLE')) return 'final';
  return refusalOf(error)?.kind ?? 'transient';
}
