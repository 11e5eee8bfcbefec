/**
 * A prompt of so many tokens or more is cut before its last token, so that a process which restored
 * all before it computes that token in the same way. The cut costs a decode step instead of one more
 * token of a batch: about 2 % of a prefill of 256 tokens (docs/decisions/0016-regular-batches.md), nothing of more.
 */
export const cutPromptTokensMin = 256;

/**
 * The exactness rule: a *regular* batch computes a token as any other regular batch does, wherever
 * it begins and ends. So cells are the same in every process when all batches are regular; then a
 * prefill may begin anywhere, and need not be cut for the sake of the cache.
 */
export class BatchRule {
  readonly #regularMin: number;
  readonly #batchSize: number;

  /**
   * `regularMin`: tokens of the smallest regular batch. `batchSize`: tokens that the engine computes
   * at once, at most. Where a batch can hold less than two of the smallest, none is regular: the
   * rest of a prompt could be too small.
   */
  constructor(regularMin: number, batchSize: number) {
    this.#regularMin = batchSize >= 2 * regularMin ? regularMin : Infinity;
    this.#batchSize = batchSize;
  }

  /** Whether a prefill of so many tokens is done in regular batches, as {@link firstCall} cuts it. */
  isRegular(tokens: number): boolean {
    return tokens >= this.#regularMin;
  }

  /**
   * Tokens of a prefill that the engine gets in one call; it gets the rest, if any, in a second one.
   * The engine fills its batches from the first on; alone, a last one could be too small.
   */
  firstCall(tokens: number): number {
    const lastBatch = tokens % this.#batchSize;
    const isSound = lastBatch === 0 || lastBatch >= this.#regularMin;
    if (isSound || tokens < this.#batchSize || !this.isRegular(tokens)) return tokens;
    return tokens - this.#regularMin;
  }
}
