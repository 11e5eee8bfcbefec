/** Lines kept for whoever reads about a failure. */
const linesKept = 120;

/**
 * What happened in a simulated world, line by line: every effect on a disk or the bucket, every
 * fault, call and answer. The digest is of all lines; the last ones are kept, or all on request.
 */
export class Trace {
  readonly #keepsAll: boolean;
  #lines: string[] = [];
  #count = 0;
  #hash = 0x811c9dc5;
  readonly #clock: { readonly nowMs: number };

  constructor(clock: { readonly nowMs: number }, keepsAll: boolean) {
    this.#clock = clock;
    this.#keepsAll = keepsAll;
  }

  add(who: string, what: string): void {
    const line = `${this.#clock.nowMs.toFixed(3)} ${who} ${what}`;
    this.#count += 1;
    for (let i = 0; i < line.length; i += 1) {
      this.#hash = Math.imul(this.#hash ^ line.charCodeAt(i), 0x01000193);
    }
    this.#lines.push(line);
    if (!this.#keepsAll && this.#lines.length > 2 * linesKept) {
      this.#lines = this.#lines.slice(-linesKept);
    }
  }

  /** The lines kept, in order. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Number and hash of all lines. */
  get digest(): string {
    return `${this.#count}-${(this.#hash >>> 0).toString(16).padStart(8, '0')}`;
  }
}
