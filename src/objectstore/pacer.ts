import { assert } from '../base/assert.ts';

/** Spreads bytes over time: each charge says how long to wait until it is its turn. */
export class Pacer {
  readonly #bytesPerSecond: number;
  /** When everything that was charged so far has passed, by the clock of the callers. */
  #freeAtMs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number) {
    assert(bytesPerSecond > 0, `${bytesPerSecond} bytes a second`);
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Milliseconds until the bytes may pass. They count from now on, waited for or not. */
  charge(nowMs: number, byteLength: number): number {
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + (byteLength / this.#bytesPerSecond) * 1000;
    return startMs - nowMs;
  }

  /** Bytes that were charged do not pass. Who waits behind them goes on waiting; who comes later does not. */
  refund(byteLength: number): void {
    this.#freeAtMs -= (byteLength / this.#bytesPerSecond) * 1000;
  }
}
