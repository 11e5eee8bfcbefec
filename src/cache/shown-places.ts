/** Where an extent lies: its buffer, and where it begins there. */
export interface Place {
  readonly buffer: SharedArrayBuffer;
  readonly byteOffset: number;
}

/** A number for each of some places in memory. */
export class ShownPlaces {
  readonly #numbers = new Map<SharedArrayBuffer, Map<number, number>>();

  get({ buffer, byteOffset }: Place): number | undefined {
    return this.#numbers.get(buffer)?.get(byteOffset);
  }

  set({ buffer, byteOffset }: Place, number: number): void {
    let numbers = this.#numbers.get(buffer);
    if (numbers === undefined) this.#numbers.set(buffer, (numbers = new Map()));
    numbers.set(byteOffset, number);
  }

  delete({ buffer, byteOffset }: Place): void {
    this.#numbers.get(buffer)?.delete(byteOffset);
  }

  /** All of them with their numbers of the moment; also those that are added before the last one was given. */
  *all(): Generator<readonly [Place, number], void> {
    for (const [buffer, numbers] of this.#numbers) {
      for (const [byteOffset, number] of numbers) yield [{ buffer, byteOffset }, number];
    }
  }
}
