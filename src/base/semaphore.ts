import { assert } from './assert.ts';

/** Lets at most `limit` holders in at once; the rest wait in order of arrival. */
export class Semaphore {
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(limit: number) {
    assert(Number.isInteger(limit) && limit > 0, `semaphore limit ${limit}`);
    this.#free = limit;
  }

  /** Number of callers waiting. The owner of the semaphore bounds how many it lets wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs the task when there is room, and gives the place back when it ends. */
  async run<Result>(task: () => Promise<Result>): Promise<Result> {
    await this.#acquire();
    try {
      return await task();
    } finally {
      this.#release();
    }
  }

  #acquire(): Promise<void> {
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}
