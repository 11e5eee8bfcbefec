import type { BatchRule } from './batch-rule.ts';

/** Ends of prompts remembered for their tails; a conversation needs its last few. */
const promptEndsMax = 4;

/**
 * What is known of the cells of a live sequence besides their tokens. Cells are numbered by
 * position.
 */
export class SequenceHistory {
  readonly #rule: BatchRule;
  #taintedFrom: number | undefined;
  #decodedFrom: number | undefined;
  #promptEnds: number[] = [];
  #changes = 0;

  constructor(rule: BatchRule) {
    this.#rule = rule;
  }

  /**
   * Cells from here on must never be stored: something before them was erased or moved, or somebody
   * else loaded them. While there are such cells nothing is. Undefined when all are sound.
   */
  get taintedFrom(): number | undefined {
    return this.#taintedFrom;
  }

  /**
   * Cells from here on were decoded one by one, were computed in batches that are not regular, or on
   * top of such. Undefined when all are what a fresh prefill computes.
   */
  get decodedFrom(): number | undefined {
    return this.#decodedFrom;
  }

  /** Where prompts ended: tails up to there are worth keeping. */
  get promptEnds(): readonly number[] {
    return this.#promptEnds;
  }

  /** Grows when anything of this changes, so that who read it before can tell. */
  get changes(): number {
    return this.#changes;
  }

  /** All cells from `length` on are gone. */
  cutTo(length: number): void {
    this.#changes += 1;
    if (this.#taintedFrom !== undefined && this.#taintedFrom >= length) {
      this.#taintedFrom = undefined;
    }
    if (this.#decodedFrom !== undefined && this.#decodedFrom >= length) {
      this.#decodedFrom = undefined;
    }
    this.#promptEnds = this.#promptEnds.filter((end) => end <= length);
  }

  /** Cells from `start` on were erased, and others moved into their place. */
  taint(start: number): void {
    this.#changes += 1;
    this.#taintedFrom = Math.max(0, Math.min(this.#taintedFrom ?? start, start));
  }

  /** Cells from `start` on were decoded by themselves, or in batches of somebody else's making. */
  decode(start: number): void {
    if (this.#decodedFrom !== undefined && this.#decodedFrom <= start) return;
    this.#changes += 1;
    this.#decodedFrom = start;
  }

  /** So many cells from `start` on are prefilled, as the exactness rule cuts them. */
  prefill(start: number, count: number): void {
    if (!this.#rule.isRegular(count)) this.decode(start);
  }

  /** Who evaluates the prompt again needs the cells before `end`. */
  endPrompt(end: number): void {
    if (this.#promptEnds.includes(end)) return;
    this.#changes += 1;
    this.#promptEnds.push(end);
    if (this.#promptEnds.length > promptEndsMax) this.#promptEnds.shift();
  }

  /** All cells were replaced by stored ones, of which those from `decodedFrom` on are decoded. */
  replace(decodedFrom: number | undefined): void {
    this.#changes += 1;
    this.#taintedFrom = undefined;
    this.#decodedFrom = decodedFrom;
    this.#promptEnds = [];
  }
}
