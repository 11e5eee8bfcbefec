import type { BlockKey } from '../../blocks/block-key.ts';
import { Prefix } from '../../blocks/prefix.ts';

/**
 * The keys of what one sequence holds or is about to: each prompt of a conversation begins like the
 * one before, so only what is new is hashed.
 */
export class SequencePrefix {
  #last: Prefix;

  constructor(seed: BlockKey, blockTokens: number) {
    this.#last = new Prefix(seed, blockTokens);
  }

  /** The prefix of the tokens. It does not change when another one is asked for. */
  of(tokens: readonly number[]): Prefix {
    this.#last = this.#last.with(tokens);
    return this.#last;
  }
}
