import { deferred } from '../../src/base/deferred.ts';
import type { ScheduledCall } from '../../src/platform/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly fire: () => void;
}

/** Time that stands until it is moved, and what is due in it. */
export class Timers {
  readonly #waiting = new Set<Timer>();

  /** Milliseconds; {@link fireNext} moves it, and so may whoever has it. */
  nowMs: number;

  constructor(startMs: number) {
    this.nowMs = startMs;
  }

  /** Calls that are not due yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Ends when it is due; rejects with the reason of an abort that comes first. */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = deferred<void>();
    const timer = this.schedule(ms, resolve);
    const onAbort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    await promise.finally(() => {
      timer.cancel();
      signal?.removeEventListener('abort', onAbort);
    });
  }

  schedule(ms: number, callback: () => void): ScheduledCall {
    const timer = { atMs: this.nowMs + ms, fire: callback };
    this.#waiting.add(timer);
    return { cancel: () => this.#waiting.delete(timer) };
  }

  /** Moves to the first call that is due until then, and makes it; false when there is none. */
  fireNext(endMs: number): boolean {
    const due = [...this.#waiting].filter(({ atMs }) => atMs <= endMs);
    const next = due.sort((a, b) => a.atMs - b.atMs).at(0);
    if (next === undefined) return false;
    this.#waiting.delete(next);
    this.nowMs = Math.max(this.nowMs, next.atMs);
    next.fire();
    return true;
  }
}
