import { deferred } from '../base/deferred.ts';
import { isMemoryRefusal, isStoreError, noMemory, StoreError } from '../base/errors.ts';
import type { CallOptions } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import type { CallHandler, ClientConnection } from './client-connection.ts';
import type { RemotePeer, Use } from './remote-peer.ts';

/** One attempt of a call on one connection. */
export interface Attempt<Result> extends Pick<CallHandler, 'dataTarget' | 'onData'> {
  readonly type: FrameType;
  readonly body: Uint8Array;
  /** The call has been sent with this id: payloads may follow. */
  started(connection: ClientConnection, id: number): void;
  /** A result ends the call early: the daemon is told that nobody waits for the rest. */
  onFrame(type: FrameType, body: Uint8Array): Result | undefined;
  /** What the closing frame says; `again` when the call has to be made once more. */
  answer(type: FrameType, body: Uint8Array): Result | 'again';
  /**
   * Nothing more happens in this attempt; what it holds and nobody took is free. Gives what turned
   * out to be wrong with what came: the call has to be made again then.
   */
  ended(): Promise<StoreError | undefined> | undefined;
}

/** What a daemon permits: payload bytes that may go unasked, whether it lends memory to fill and knows compression. */
export type Permits = Pick<ClientConnection, 'eagerBytesMax' | 'mayFill' | 'mayCompress'>;

/** What a kind of call is. */
export interface CallPlan<Result> {
  readonly use: Use;
  /** Makes the next attempt: milliseconds that are left, and what the daemon permits on this connection. */
  attempt(leftMs: number, permits: Permits): Attempt<Result>;
  /** The result of a call that has run out of time, or whose daemon has gone; undefined: none. */
  partial?(why: 'deadline' | 'unavailable'): Result | undefined;
}

/**
 * Makes a call: with its deadline, its signal, and again when its connection is lost, which is right
 * for all calls because each may be made twice.
 */
export async function runCall<Result>(
  { peer, clock }: { readonly peer: RemotePeer; readonly clock: Clock },
  options: CallOptions | undefined,
  deadlineMs: number,
  plan: CallPlan<Result>,
): Promise<Result> {
  const limit = new CallLimit(clock, options?.signal, deadlineMs);
  try {
    return await attemptUntilDone(peer, plan, limit);
  } catch (error) {
    const why = limit.isExpired ? 'deadline' : 'unavailable';
    const partial = isStoreError(error, 'UNAVAILABLE') ? plan.partial?.(why) : undefined;
    if (partial !== undefined) return partial;
    throw isMemoryRefusal(error) ? noMemory(error) : error;
  } finally {
    limit.end();
  }
}

/** How an attempt ended; after `lost` nobody knows how far it came. */
type Outcome<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'again' }
  | { readonly kind: 'lost'; readonly failure: StoreError };

async function attemptUntilDone<Result>(
  peer: RemotePeer,
  plan: CallPlan<Result>,
  limit: CallLimit,
): Promise<Result> {
  let failure: StoreError | undefined;
  for (let attempts = 0; attempts < limits.callAttemptsMax; attempts += 1) {
    limit.throwIfOver();
    const connection = await peer.connection(plan.use, limit.signal);
    // Who gave up while it was being had is not told of by an event any more.
    limit.throwIfOver();
    if (!connection.isOpen) {
      failure = new StoreError('UNAVAILABLE', 'the connection was lost');
      continue;
    }
    const attempt = plan.attempt(limit.leftMs, connection);
    const outcome = await attemptOnce(connection, attempt, limit);
    if (outcome.kind === 'done') return outcome.result;
    if (outcome.kind === 'lost') failure = outcome.failure;
  }
  const message = `the call was lost ${limits.callAttemptsMax} times: ${failure?.message}`;
  throw new StoreError('UNAVAILABLE', message, { cause: failure });
}

async function attemptOnce<Result>(
  connection: ClientConnection,
  attempt: Attempt<Result>,
  limit: CallLimit,
): Promise<Outcome<Result>> {
  const outcome = deferred<Outcome<Result>>();
  const handler: CallHandler = {
    onFrame: (type, body) => {
      const result = attempt.onFrame(type, body);
      if (result === undefined) return;
      connection.cancel(id);
      outcome.resolve({ kind: 'done', result });
    },
    onAnswer: (type, body) => {
      try {
        const result = attempt.answer(type, body);
        outcome.resolve(result === 'again' ? { kind: 'again' } : { kind: 'done', result });
      } catch (error) {
        outcome.reject(error);
        throw error;
      }
    },
    dataTarget: (length) => attempt.dataTarget(length),
    onData: (length) => attempt.onData(length),
    onFailure: (failure, isLost) => {
      // Damage on the way is seen by the other end, and the way may be better next time.
      const isRetried = (isLost && failure.code !== 'CLOSED') || failure.code === 'CORRUPT';
      if (isRetried) outcome.resolve({ kind: 'lost', failure });
      else outcome.reject(failure);
    },
  };
  let id = 0;
  const onOver = (): void => {
    connection.cancel(id);
    outcome.reject(limit.signal.reason);
  };
  let damage: StoreError | undefined;
  let result: Outcome<Result>;
  try {
    id = connection.begin(attempt.type, attempt.body, handler);
    limit.signal.addEventListener('abort', onOver, { once: true });
    attempt.started(connection, id);
    result = await outcome.promise;
  } finally {
    limit.signal.removeEventListener('abort', onOver);
    damage = await attempt.ended();
  }
  return damage === undefined ? result : { kind: 'lost', failure: damage };
}

/**
 * The end of a call by its caller or its deadline. The daemon answers by the deadline; what has not
 * come a little later comes from nobody, so the call is `UNAVAILABLE` then and not `ABORTED`.
 */
class CallLimit {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #caller: AbortSignal | undefined;
  readonly #endMs: number;
  readonly #timer: ScheduledCall;
  #isExpired = false;

  constructor(clock: Clock, caller: AbortSignal | undefined, deadlineMs: number) {
    this.signal = this.#controller.signal;
    this.#clock = clock;
    this.#caller = caller;
    this.#endMs = clock.nowMs() + deadlineMs;
    if (caller?.aborted) this.#onCallerAbort();
    caller?.addEventListener('abort', this.#onCallerAbort, { once: true });
    const waitMs = Math.min(deadlineMs + limits.answerGraceMs, 2 ** 31 - 1);
    this.#timer = clock.schedule(waitMs, () => this.#expire(deadlineMs), 'awaited');
  }

  get leftMs(): number {
    return Math.max(0, this.#endMs - this.#clock.nowMs());
  }

  /** True when time ended the call. */
  get isExpired(): boolean {
    return this.#isExpired;
  }

  throwIfOver(): void {
    if (this.signal.aborted) throw this.signal.reason;
  }

  end(): void {
    this.#timer.cancel();
    this.#caller?.removeEventListener('abort', this.#onCallerAbort);
  }

  #expire(deadlineMs: number): void {
    if (this.signal.aborted) return;
    this.#isExpired = true;
    const message = `no answer from the daemon by the deadline of ${Math.round(deadlineMs)} ms`;
    this.#controller.abort(new StoreError('UNAVAILABLE', message));
  }

  readonly #onCallerAbort = (): void => {
    const cause: unknown = this.#caller?.reason;
    this.#controller.abort(new StoreError('ABORTED', 'aborted by the caller', { cause }));
  };
}
