import { isStoreError } from '../base/errors.ts';
import type { Tier } from '../blocks/kv-store.ts';
import type { Clock } from '../platform/clock.ts';
import { Counter, Histogram, renderFamily } from './metrics-registry.ts';

/** What is counted of the calls of a store: how many, how long, how they ended, what they pin. */
export class CallMeter {
  readonly #clock: Clock;
  readonly #calls = new Counter();
  readonly #seconds = new Histogram();
  readonly #loadSeconds = new Histogram();
  #underWay = 0;
  #pins = 0;
  #pinnedBytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.nowMs();
  }

  /** What was counted, in the text format of Prometheus. */
  render(): string {
    const gauge = (name: string, help: string, value: number): string =>
      renderFamily({ name, type: 'gauge', help }, [{ labels: {}, value }]);
    const calls = {
      name: 'wombatkv_calls_total',
      type: 'counter',
      help: 'Calls of the store by all doors, by verb and by outcome: ok, or the code of the error.',
    } as const;
    const seconds = {
      name: 'wombatkv_call_seconds',
      type: 'histogram',
      help: 'Time of calls in the store, by verb.',
    } as const;
    const loads = {
      name: 'wombatkv_load_seconds',
      type: 'histogram',
      help: 'Time of loads that gave something, by the deepest tier that they needed.',
    } as const;
    return [
      renderFamily(calls, this.#calls.samples),
      renderFamily(seconds, this.#seconds),
      renderFamily(loads, this.#loadSeconds),
      gauge('wombatkv_calls', 'Calls of the store under way.', this.#underWay),
      gauge('wombatkv_pins', 'Payloads on loan to answers under way.', this.#pins),
      gauge('wombatkv_pinned_bytes', 'Bytes on loan to answers under way.', this.#pinnedBytes),
    ].join('');
  }

  /** Runs a call. */
  async measure<Result>(verb: string, task: () => Promise<Result>): Promise<Result> {
    const startMs = this.#clock.nowMs();
    let outcome = 'failed';
    this.#underWay += 1;
    try {
      const result = await task();
      outcome = 'ok';
      return result;
    } catch (error) {
      // Misuse by a client is told by other errors than ours.
      outcome = isStoreError(error) ? error.code.toLowerCase() : 'invalid';
      throw error;
    } finally {
      this.#underWay -= 1;
      this.#calls.add({ verb, outcome });
      this.#seconds.observe({ verb }, (this.#clock.nowMs() - startMs) / 1000);
    }
  }

  /** A load that gave something from no deeper than that tier. */
  observeLoad(tier: Tier, startMs: number): void {
    this.#loadSeconds.observe({ tier }, (this.#clock.nowMs() - startMs) / 1000);
  }

  /** Counts payloads until what it gives is called; a second time is harmless, as for a borrow. */
  pin(lengths: readonly number[]): (then: () => void) => void {
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    this.#pins += lengths.length;
    this.#pinnedBytes += bytes;
    let isHeld = true;
    return (then) => {
      if (isHeld) {
        this.#pins -= lengths.length;
        this.#pinnedBytes -= bytes;
      }
      isHeld = false;
      then();
    };
  }
}
