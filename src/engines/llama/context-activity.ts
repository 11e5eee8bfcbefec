/**
 * What the sequences of one context compute at the same time. The engine puts tokens of several
 * sequences into one batch, and so cuts their prefills where it likes.
 */
export class ContextActivity {
  #running = 0;
  #begun = 0;

  /** True while a call of any sequence computes. */
  get isComputing(): boolean {
    return this.#running > 0;
  }

  /** A call that computes begins; every one has an end. */
  begin(): void {
    this.#running += 1;
    this.#begun += 1;
  }

  end(): void {
    this.#running -= 1;
  }

  /** Runs one call's computation; tells whether no other call computed meanwhile. */
  async watch<T>(
    compute: () => Promise<T>,
  ): Promise<{ readonly result: T; readonly wasAlone: boolean }> {
    const begun = this.#begun;
    const isAlone = this.#running === 1;
    const result = await compute();
    return { result, wasAlone: isAlone && this.#begun === begun };
  }
}
