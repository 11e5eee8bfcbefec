import { setMaxListeners } from 'node:events';
import { isMemoryRefusal, noMemory, StoreError } from '../base/errors.ts';
import type { CallOptions } from '../blocks/kv-store.ts';
import type { Clock } from '../platform/clock.ts';

/** One call: what ends it early, and how long the server is given. */
export interface HttpCall {
  readonly signal: AbortSignal;
  /** What the server is told; undefined leaves it its own deadline. */
  readonly deadlineMs: number | undefined;
}

export interface HttpCallOptions {
  /** The longest that a call may take, whatever its own deadline. */
  readonly mostMs: number;
  /** Time for the answer to travel, after the deadline. */
  readonly graceMs: number;
  /** Told when the server has not answered in time. */
  readonly onExpiry: (error: StoreError) => void;
}

/** The calls under way on one client, so that closing it ends them. */
export class HttpCalls {
  readonly #clock: Clock;
  readonly #running = new Set<AbortController>();
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends all calls, and those to come, with `CLOSED`. */
  close(): void {
    this.#isClosed = true;
    for (const controller of this.#running) controller.abort(closed());
  }

  /** Runs the task as one call. */
  async run<Result>(
    options: CallOptions | undefined,
    { mostMs, graceMs, onExpiry }: HttpCallOptions,
    task: (call: HttpCall) => Promise<Result>,
  ): Promise<Result> {
    if (this.#isClosed) throw closed();
    const caller = options?.signal;
    if (caller?.aborted === true) throw aborted(caller);
    const controller = new AbortController();
    setMaxListeners(0, controller.signal);
    const limitMs = Math.min(options?.deadlineMs ?? mostMs, mostMs);
    const onAbort = (): void => {
      if (caller !== undefined) controller.abort(aborted(caller));
    };
    const expire = (): void => {
      const error = new StoreError('UNAVAILABLE', `the server did not answer in ${limitMs} ms`);
      onExpiry(error);
      controller.abort(error);
    };
    const timer = this.#clock.schedule(limitMs + graceMs, expire, 'awaited');
    caller?.addEventListener('abort', onAbort, { once: true });
    this.#running.add(controller);
    try {
      const deadlineMs = options?.deadlineMs === undefined ? undefined : Math.ceil(limitMs);
      return await task({ signal: controller.signal, deadlineMs }).catch(rethrow);
    } finally {
      this.#running.delete(controller);
      timer.cancel();
      caller?.removeEventListener('abort', onAbort);
    }
  }
}

export type HttpHeaders = readonly (readonly [name: string, value: string])[];

/** What a request says of its body and its call. */
export function callHeaders(type: string | undefined, { deadlineMs }: HttpCall): HttpHeaders {
  const headers: (readonly [string, string])[] = [];
  if (type !== undefined) headers.push(['content-type', type]);
  if (deadlineMs !== undefined) headers.push(['wombatkv-deadline-ms', String(deadlineMs)]);
  return headers;
}

/** The options, with the usual deadline where they name none. */
export function within(
  options: CallOptions | undefined,
  usualMs: number | undefined,
): CallOptions | undefined {
  return { ...options, deadlineMs: options?.deadlineMs ?? usualMs };
}

/** What the caller is told: a system without memory is no misuse. */
function rethrow(error: unknown): never {
  throw isMemoryRefusal(error) ? noMemory(error) : error;
}

function closed(): StoreError {
  return new StoreError('CLOSED', 'the client was closed');
}

function aborted(signal: AbortSignal): StoreError {
  return new StoreError('ABORTED', 'aborted by the caller', { cause: signal.reason });
}
