/**
 * The border between a store in this process and the world, so that its process can be "killed":
 * after {@link kill} nothing it asks for happens, and nothing it waits for ever comes back.
 */
export class ProcessGate {
  #isOpen = true;
  readonly #underWay = new Set<Promise<unknown>>();

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** What `operation` gives. {@link kill} waits for it, but nothing comes back then. */
  pass<Result>(operation: () => Promise<Result>): Promise<Result> {
    if (!this.#isOpen) return never();
    const run = operation();
    this.#underWay.add(run);
    const forget = (): void => {
      this.#underWay.delete(run);
    };
    run.then(forget, forget);
    return this.watch(run);
  }

  /** The same promise, unless the process is killed first. {@link kill} does not wait for it. */
  watch<Result>(promise: Promise<Result>): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      promise.then(
        (result) => this.call(() => resolve(result)),
        (error: unknown) => this.call(() => reject(asError(error))),
      );
    });
  }

  /** Calls `callback`, unless the process is dead by then. */
  call(callback: () => void): void {
    if (this.#isOpen) callback();
  }

  /** Closes the gate and waits for what the system had already been told to do. */
  async kill(): Promise<void> {
    this.#isOpen = false;
    await Promise.allSettled([...this.#underWay]);
  }
}

function never<Result>(): Promise<Result> {
  return new Promise<Result>(() => undefined);
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
