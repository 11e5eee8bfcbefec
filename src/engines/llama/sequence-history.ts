/**
 * What is known of the cells of a live sequence besides their tokens. Cells are numbered by
 * position.
 */
export class SequenceHistory {
  #taintedFrom: number | undefined;
  #decodedFrom: number | undefined;

  /**
   * Cells from here on must never be stored: something before them was erased or moved, or somebody
   * else loaded them. Undefined when all are sound.
   */
  get taintedFrom(): number | undefined {
    return this.#taintedFrom;
  }

  /** Cells from here on were decoded one by one, or computed on top of such. */
  get decodedFrom(): number | undefined {
    return this.#decodedFrom;
  }

  /** Only cells below `length` are left. */
  cutTo(length: number): void {
    if (this.#taintedFrom !== undefined && this.#taintedFrom >= length) {
      this.#taintedFrom = undefined;
    }
    if (this.#decodedFrom !== undefined && this.#decodedFrom >= length) {
      this.#decodedFrom = undefined;
    }
  }

  /** Cells from `start` on were erased, and others moved into their place. */
  taint(start: number): void {
    this.#taintedFrom = Math.min(this.#taintedFrom ?? start, start);
  }

  /** The cell at `position` was decoded by itself. */
  decode(position: number): void {
    this.#decodedFrom = Math.min(this.#decodedFrom ?? position, position);
  }

  /** All cells were replaced by stored ones, of which those from `decodedFrom` on are decoded. */
  replace(decodedFrom: number | undefined): void {
    this.#taintedFrom = undefined;
    this.#decodedFrom = decodedFrom;
  }
}
