import { assert } from './assert.ts';

/**
 * Lets at most `limit` holders in at once, as a semaphore, but those that had to wait come in by
 * groups: once it is full, nobody comes in until half of the places are free. So tasks that make the
 * same trips make them side by side, and one that hangs keeps no group from coming in.
 */
export class GroupSemaphore {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #holders = 0;
  #isFilling = true;

  constructor(limit: number) {
    assert(Number.isInteger(limit) && limit > 1, `group semaphore limit ${limit}`);
    this.#limit = limit;
  }

  /** Runs the task when there is room, and gives the place back when it ends. */
  async run<Result>(task: () => Promise<Result>): Promise<Result> {
    if (this.#isFilling) this.#enter();
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      this.#leave();
    }
  }

  #enter(): void {
    this.#holders += 1;
    this.#isFilling = this.#holders < this.#limit;
  }

  #leave(): void {
    this.#holders -= 1;
    if (this.#holders > this.#limit / 2) return;
    this.#isFilling = true;
    for (;;) {
      const next = this.#isFilling ? this.#waiting.shift() : undefined;
      if (next === undefined) return;
      this.#enter();
      next();
    }
  }
}
