import { SingleFlight } from '../base/single-flight.ts';
import type { Tier } from '../blocks/kv-store.ts';
import type { PayloadFacts } from '../cache/cache-entry.ts';
import type { PinnedPayload } from '../cache/local-cache.ts';
import type { Clock } from '../platform/clock.ts';
import type { Call } from './call.ts';

/** A payload on loan to one caller, who unpins its extent. */
export interface Acquired {
  readonly facts: PayloadFacts;
  readonly pinned: PinnedPayload;
  readonly tier: Tier;
}

/** Payloads that are being brought, each by one flight that all who want it share. */
export class Flights<Miss extends string> {
  readonly #clock: Clock;
  readonly #flights = new SingleFlight<string, Acquired | Miss>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * What the flight of the key brings, pinned for the caller; `start` begins it when there is none. Rejects when the
   * caller's time is over, or as the flight does.
   */
  async board(
    key: string,
    start: (signal: AbortSignal) => Promise<Acquired | Miss>,
    call: Call,
  ): Promise<Acquired | Miss> {
    const boarding = this.#flights.board(key, (signal) => this.#fly(start, signal));
    const mine = boarding.result.then((brought) => {
      if (typeof brought !== 'string') brought.pinned.extent.pin();
      return brought;
    });
    try {
      return await call.race(mine);
    } catch (error) {
      // The pin that comes too late is given back.
      void mine.then(releaseResult, () => undefined);
      throw error;
    } finally {
      boarding.leave();
    }
  }

  /** The flight's own pin lasts until everyone who waited has had a turn to take one. */
  async #fly(
    start: (signal: AbortSignal) => Promise<Acquired | Miss>,
    signal: AbortSignal,
  ): Promise<Acquired | Miss> {
    const result = await start(signal);
    if (typeof result !== 'string') {
      void this.#clock.yield().then(() => result.pinned.extent.unpin());
    }
    return result;
  }
}

function releaseResult(result: Acquired | string): void {
  if (typeof result !== 'string') result.pinned.extent.unpin();
}
