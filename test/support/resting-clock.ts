import type { Clock, ScheduledCall } from '../../src/platform/clock.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { Timers } from './timers.ts';

/** A clock that stands until it is moved, and then waits until whoever it woke rests again. */
export class RestingClock implements Clock {
  readonly #real = nodePlatform().clock;
  readonly #startMs = this.#real.wallMs();
  readonly #timers = new Timers(0);
  #sleepers = 0;

  wallMs(): number {
    return this.#startMs + this.#timers.nowMs;
  }

  nowMs(): number {
    return this.#timers.nowMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.#sleepers += 1;
    await this.#timers.sleep(ms, signal).finally(() => (this.#sleepers -= 1));
  }

  schedule(ms: number, callback: () => void): ScheduledCall {
    return this.#timers.schedule(ms, callback);
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
    this.#timers.nowMs += ms;
  }

  /**
   * Moves on, through every timer on the way. After each it rests until somebody sleeps again, which
   * the collector does when its work is done.
   */
  async advance(ms: number, mode: 'with rest' | 'without rest' = 'with rest'): Promise<void> {
    const endMs = this.#timers.nowMs + ms;
    do {
      if (mode === 'with rest') await this.#rest();
    } while (this.#timers.fireNext(endMs));
    this.#timers.nowMs = endMs;
  }

  async #rest(): Promise<void> {
    // Enough turns for whoever was woken to be on its way.
    await this.turns(4);
    while (this.#sleepers === 0) await this.yield();
  }
}
