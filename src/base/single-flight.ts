/** One caller's place in a flight. */
export interface Boarding<Result> {
  readonly result: Promise<Result>;
  /** Gives the place up. When nobody is left the task's signal fires. Harmless when it has ended. */
  leave(): void;
}

interface Flight<Result> {
  readonly result: Promise<Result>;
  readonly controller: AbortController;
  aboard: number;
}

/**
 * Runs one task per key at a time: whoever asks while it runs shares its result. Nothing is
 * remembered once the task has ended, failed or not. A task that everybody has left is aborted, and
 * the next who asks starts a new one.
 */
export class SingleFlight<Key, Result> {
  readonly #flights = new Map<Key, Flight<Result>>();

  /** Number of tasks running now. */
  get size(): number {
    return this.#flights.size;
  }

  /** Joins the running task for the key, or starts one. Whoever boards either waits or leaves. */
  board(key: Key, start: (signal: AbortSignal) => Promise<Result>): Boarding<Result> {
    const flight = this.#flights.get(key) ?? this.#depart(key, start);
    flight.aboard += 1;
    let isAboard = true;
    return {
      result: flight.result,
      leave: () => {
        if (!isAboard) return;
        isAboard = false;
        flight.aboard -= 1;
        if (flight.aboard > 0 || this.#flights.get(key) !== flight) return;
        this.#flights.delete(key);
        flight.controller.abort();
      },
    };
  }

  #depart(key: Key, start: (signal: AbortSignal) => Promise<Result>): Flight<Result> {
    const controller = new AbortController();
    const result = start(controller.signal).finally(() => {
      if (this.#flights.get(key)?.result === result) this.#flights.delete(key);
    });
    const flight = { result, controller, aboard: 0 };
    this.#flights.set(key, flight);
    return flight;
  }
}
