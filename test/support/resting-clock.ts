import { deferred } from '../../src/base/deferred.ts';
import type { Clock, ScheduledCall } from '../../src/platform/clock.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

interface Timer {
  readonly atMs: number;
  readonly fire: () => void;
}

/** A clock that stands until it is moved, and then waits until whoever it woke rests again. */
export class RestingClock implements Clock {
  readonly #real = nodePlatform().clock;
  readonly #startMs = this.#real.wallMs();
  readonly #timers = new Set<Timer>();
  #nowMs = 0;
  #sleepers = 0;

  wallMs(): number {
    return this.#startMs + this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#sleepers += 1;
    const { promise, resolve, reject } = deferred<void>();
    const timer = this.schedule(ms, () => resolve());
    const onAbort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    await promise.finally(() => {
      this.#sleepers -= 1;
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

  /** Lets other work have so many turns. */
  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) await this.yield();
  }

  /** Moves on without letting anything happen that is not due. */
  skip(ms: number): void {
    this.#nowMs += ms;
  }

  /**
   * Moves on, through every timer on the way. After each it rests until somebody sleeps again, which
   * the collector does when its work is done.
   */
  async advance(ms: number, mode: 'with rest' | 'without rest' = 'with rest'): Promise<void> {
    const endMs = this.#nowMs + ms;
    for (;;) {
      if (mode === 'with rest') await this.#rest();
      const due = [...this.#timers].filter(({ atMs }) => atMs <= endMs);
      const next = due.sort((a, b) => a.atMs - b.atMs).at(0);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fire();
    }
    this.#nowMs = endMs;
  }

  async #rest(): Promise<void> {
    // Enough turns for whoever was woken to be on its way.
    await this.turns(4);
    while (this.#sleepers === 0) await this.yield();
  }
}
