import { deferred } from '../../src/base/deferred.ts';
import type { Clock, ScheduledCall } from '../../src/platform/clock.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

interface Timer {
  readonly atMs: number;
  readonly fire: () => void;
}

/** A clock that stands until it is moved. Only {@link yield} takes real time. */
export class ManualClock implements Clock {
  readonly #real = nodePlatform().clock;
  readonly #timers = new Set<Timer>();
  #nowMs = 1000;

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.size;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

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
    const timer = { atMs: this.#nowMs + ms, fire: callback };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  yield(): Promise<void> {
    return this.#real.yield();
  }

  /** Moves on through every timer that is due on the way, in order. What they start comes later. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= endMs);
      const next = due.sort((a, b) => a.atMs - b.atMs).at(0);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
    }
    this.#nowMs = endMs;
  }
}
