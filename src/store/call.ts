import { setMaxListeners } from 'node:events';
import { StoreError } from '../base/errors.ts';
import type { CallOptions } from '../blocks/kv-store.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';

/**
 * One call with its deadline and its caller's signal. `signal` fires when either does; everything
 * that the call waits for takes it or goes through {@link race}.
 */
export class Call {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #callerSignal: AbortSignal | undefined;
  readonly #timer: ScheduledCall;
  #isExpired = false;

  private constructor(clock: Clock, options: CallOptions | undefined, deadlineMs: number) {
    this.signal = this.#controller.signal;
    // A call waits for many things at once; Node would warn of a leak on the program's output.
    setMaxListeners(0, this.signal);
    this.#callerSignal = options?.signal;
    if (this.#callerSignal?.aborted) this.#onCallerAbort();
    this.#callerSignal?.addEventListener('abort', this.#onCallerAbort, { once: true });
    const expire = (): void => {
      this.#isExpired = !this.signal.aborted;
      const message = `the deadline of ${deadlineMs} ms has passed`;
      this.#controller.abort(new StoreError('ABORTED', message));
    };
    this.#timer = clock.schedule(deadlineMs, expire, 'awaited');
  }

  /** Runs the task as one call; `deadlineMs` holds unless the options say otherwise. */
  static async run<Result>(
    clock: Clock,
    options: CallOptions | undefined,
    deadlineMs: number,
    task: (call: Call) => Promise<Result>,
  ): Promise<Result> {
    const call = new Call(clock, options, options?.deadlineMs ?? deadlineMs);
    try {
      call.throwIfAborted();
      return await task(call);
    } finally {
      call.#end();
    }
  }

  /** True when the deadline ended the call, false when its caller did or nothing has. */
  get isExpired(): boolean {
    return this.#isExpired;
  }

  /** The promise's result, unless the call ends first. */
  race<Result>(promise: Promise<Result>): Promise<Result> {
    if (this.signal.aborted) {
      // The result is nobody's any more; its failure is not unhandled.
      promise.catch(() => undefined);
      return Promise.reject(this.#reason());
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(this.#reason());
      this.signal.addEventListener('abort', onAbort, { once: true });
      promise.then(resolve, reject).finally(() => {
        this.signal.removeEventListener('abort', onAbort);
      });
    });
  }

  throwIfAborted(): void {
    if (this.signal.aborted) throw this.#reason();
  }

  #reason(): StoreError {
    const { reason } = this.signal;
    return reason instanceof StoreError ? reason : new StoreError('ABORTED', 'aborted');
  }

  readonly #onCallerAbort = (): void => {
    const cause: unknown = this.#callerSignal?.reason;
    this.#controller.abort(new StoreError('ABORTED', 'aborted by the caller', { cause }));
  };

  #end(): void {
    this.#timer.cancel();
    this.#callerSignal?.removeEventListener('abort', this.#onCallerAbort);
  }
}
