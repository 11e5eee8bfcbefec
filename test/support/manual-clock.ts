import type { Clock, ScheduledCall } from '../../src/platform/clock.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { Timers } from './timers.ts';

/** A clock that stands until it is moved. Only {@link yield} takes real time. */
export class ManualClock implements Clock {
  readonly #real = nodePlatform().clock;
  readonly #timers = new Timers(1000);

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.waiting;
  }

  wallMs(): number {
    return this.#timers.nowMs;
  }

  nowMs(): number {
    return this.#timers.nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#timers.sleep(ms, signal);
  }

  schedule(ms: number, callback: () => void): ScheduledCall {
    return this.#timers.schedule(ms, callback);
  }

  yield(): Promise<void> {
    return this.#real.yield();
  }

  /** Moves on through every timer that is due on the way, in order. What they start comes later. */
  advance(ms: number): void {
    const endMs = this.#timers.nowMs + ms;
    while (this.#timers.fireNext(endMs));
    this.#timers.nowMs = endMs;
  }
}
