import { seededRandom } from '../support/random.ts';
import type { SeededRandom } from '../support/random.ts';

/** Decisions that depend on the seed alone. */
export class Dice {
  readonly #random: SeededRandom;

  constructor(seed: string) {
    this.#random = seededRandom(seed);
  }

  /** A number in [0, 1). */
  fraction(): number {
    return this.#random.word() / 2 ** 32;
  }

  /** An integer in [0, limit). */
  below(limit: number): number {
    return this.#random.below(limit);
  }

  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + this.#random.below(most - least + 1);
  }

  /** True in that share of cases. */
  chance(share: number): boolean {
    return this.fraction() < share;
  }

  /** One of the items, of which there is at least one. */
  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)];
  }

  /** Lower-case hex text of `count` bytes. */
  hex(count: number): string {
    let text = '';
    for (let i = 0; i < count; i += 1) text += this.below(256).toString(16).padStart(2, '0');
    return text;
  }
}
