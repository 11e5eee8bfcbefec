/** Numbers by the name of what was done, one for each round. */
export class Samples {
  readonly #samples = new Map<string, number[]>();

  keep(what: string, value: number): void {
    this.#samples.set(what, [...this.of(what), value]);
  }

  /** None of what was not measured. */
  of(what: string): readonly number[] {
    return this.#samples.get(what) ?? [];
  }
}
