/**
 * Runs one task per key at a time: whoever asks while it runs shares its result.
 * Nothing is remembered once the task has ended, failed or not.
 */
export class SingleFlight<Key, Result> {
  readonly #running = new Map<Key, Promise<Result>>();

  /** Number of tasks running now. */
  get size(): number {
    return this.#running.size;
  }

  /** The result of the running task for the key, or of `start()` when there is none. */
  run(key: Key, start: () => Promise<Result>): Promise<Result> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const task = start().finally(() => this.#running.delete(key));
    this.#running.set(key, task);
    return task;
  }
}
