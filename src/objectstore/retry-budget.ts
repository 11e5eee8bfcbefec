import { assert } from '../base/assert.ts';

export interface RetryBudgetOptions {
  /** Retries that may be made in a row, without a success between. */
  readonly most: number;
  /** Successes that pay for one retry. */
  readonly successesForOne: number;
}

/** Retries that may still be made: every success adds a little, every retry takes one. */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  #left: number;

  constructor(options: RetryBudgetOptions) {
    assert(options.most >= 1 && options.successesForOne >= 1, 'a retry budget holds a retry');
    this.#options = options;
    this.#left = options.most;
  }

  succeed(): void {
    const { most, successesForOne } = this.#options;
    this.#left = Math.min(most, this.#left + 1 / successesForOne);
  }

  /** Takes one retry; false when there is none. */
  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
