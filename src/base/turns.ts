/** Runs the tasks of each key one after another, in the order in which they were given. */
export class Turns<Key> {
  /** The end of the last task of each key that has one, whatever becomes of it. */
  readonly #last = new Map<Key, Promise<unknown>>();

  /** Runs the task when those that were given for the key before have ended; at once when none is under way. */
  async run<Result>(key: Key, task: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key);
    const running = before === undefined ? task() : before.then(task);
    const end = running.catch(() => undefined);
    this.#last.set(key, end);
    try {
      return await running;
    } finally {
      if (this.#last.get(key) === end) this.#last.delete(key);
    }
  }
}
