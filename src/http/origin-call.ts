import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { HttpBodyPlan, HttpHead, HttpRequest } from '../platform/http.ts';

/** One request under way: what ends it early, and the words for that. */
export class OriginCall {
  readonly #clock: Clock;
  readonly #origin: string;
  readonly #request: HttpRequest;
  readonly #ending = new AbortController();
  readonly #startMs: number;
  #lifeMs: number;
  #timer: ScheduledCall;
  /** What `receive` threw, which is passed on as it is. */
  #refusal: { readonly error: unknown } | undefined;
  readonly #onAbort = (): void => this.fail(this.#aborted());

  constructor(clock: Clock, origin: string, request: HttpRequest) {
    this.#clock = clock;
    this.#origin = origin;
    this.#request = request;
    this.#startMs = clock.nowMs();
    this.#lifeMs = this.#startMs;
    this.#timer = this.#schedule();
    if (request.signal?.aborted === true) this.#onAbort();
    else request.signal?.addEventListener('abort', this.#onAbort);
  }

  /** Fires when the call is to end, for whatever reason. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  fail(error: StoreError): void {
    this.#ending.abort(error);
  }

  /** The server took or sent something. */
  noteLife(): void {
    this.#lifeMs = this.#clock.nowMs();
  }

  /** Where the body goes. */
  planOf(head: HttpHead): HttpBodyPlan {
    try {
      return this.#request.receive(head);
    } catch (error) {
      this.#refusal = { error };
      throw error;
    }
  }

  /** What the caller is told of an error that ended the call. */
  explained(error: unknown): unknown {
    if (this.#refusal !== undefined) return this.#refusal.error;
    if (isStoreError(error, 'ABORTED') && this.#request.signal?.aborted === true) return error;
    return this.#unavailable(messageOf(error), error);
  }

  /** Nothing ends it any more. */
  end(): void {
    this.#timer.cancel();
    this.#request.signal?.removeEventListener('abort', this.#onAbort);
  }

  /** Looks again when the deadline or the longest pause may be over. */
  #schedule(): ScheduledCall {
    const { deadlineMs, idleMs } = this.#request;
    const nowMs = this.#clock.nowMs();
    const leftMs = this.#startMs + deadlineMs - nowMs;
    const pauseMs = this.#lifeMs + idleMs - nowMs;
    return this.#clock.schedule(Math.min(leftMs, pauseMs), () => this.#look(), 'awaited');
  }

  #look(): void {
    const { deadlineMs, idleMs } = this.#request;
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#startMs >= deadlineMs) {
      this.fail(new StoreError('UNAVAILABLE', `took more than ${deadlineMs} ms`));
    } else if (nowMs - this.#lifeMs >= idleMs) {
      this.fail(new StoreError('UNAVAILABLE', `was silent for ${idleMs} ms`));
    } else this.#timer = this.#schedule();
  }

  #aborted(): StoreError {
    const { method, signal } = this.#request;
    const message = `${method} at ${this.#origin} was aborted`;
    return new StoreError('ABORTED', message, { cause: signal?.reason });
  }

  #unavailable(what: string, cause: unknown): StoreError {
    const { method } = this.#request;
    return new StoreError('UNAVAILABLE', `${method} at ${this.#origin}: ${what}`, { cause });
  }
}
