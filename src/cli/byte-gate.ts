import { assert } from '../base/assert.ts';

/**
 * Lets tasks in as long as the bytes that they take fit, in order of arrival. One that is larger
 * than all of it runs by itself.
 */
export class ByteGate {
  readonly #bytesMax: number;
  readonly #waiting: { readonly bytes: number; readonly enter: () => void }[] = [];
  #used = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, `gate of ${bytesMax} bytes`);
    this.#bytesMax = bytesMax;
  }

  /** Runs the task when its bytes fit, and gives them back when it ends. */
  async run<Result>(bytes: number, task: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((enter) => {
      this.#waiting.push({ bytes, enter });
      this.#letIn();
    });
    try {
      return await task();
    } finally {
      this.#used -= bytes;
      this.#letIn();
    }
  }

  #letIn(): void {
    for (let next = this.#waiting.at(0); next !== undefined; next = this.#waiting.at(0)) {
      if (this.#used > 0 && this.#used + next.bytes > this.#bytesMax) return;
      this.#waiting.shift();
      this.#used += next.bytes;
      next.enter();
    }
  }
}
