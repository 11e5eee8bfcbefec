import { setMaxListeners } from 'node:events';
import { StoreError } from '../base/errors.ts';

/** What a running call asks between its steps. */
export interface Call {
  /** The caller's signal, for what takes one. */
  readonly signal: AbortSignal | undefined;
  /** Throws `ABORTED` or `CLOSED` when the call should go no further. */
  check(): void;
  /**
   * Runs a task that writes to memory of the caller. Until it ends the signal does not settle the
   * call, so the task must be short or check often.
   */
  hold<Result>(task: () => Promise<Result>): Promise<Result>;
}

/**
 * The door that every call of a store goes through: refuses after close, rejects with `ABORTED` as
 * soon as the signal fires, and lets close wait for what is under way. A task whose call was
 * aborted goes on alone until its next `check` and frees there what it has.
 */
export class CallGate {
  readonly #name: string;
  readonly #running = new Set<Promise<unknown>>();
  #isClosed = false;

  /** `name` is what messages call the store. */
  constructor(name: string) {
    this.#name = name;
  }

  async run<Result>(
    what: string,
    signal: AbortSignal | undefined,
    task: (call: Call) => Promise<Result>,
  ): Promise<Result> {
    const call = new RunningCall(`${what} at ${this.#name}`, signal, () => this.#isClosed);
    call.check();
    // One signal ends any number of calls; each takes its listeners away, so none can leak and Node's
    // warning about eleven of them would be wrong.
    if (signal !== undefined) setMaxListeners(0, signal);
    const work = task(call);
    const ended = work.then(
      () => undefined,
      () => undefined,
    );
    this.#running.add(ended);
    try {
      return await (signal === undefined ? work : call.orAborted(work, signal));
    } finally {
      // An aborted call is forgotten when its task has ended, which is what close waits for.
      void ended.then(() => this.#running.delete(ended));
    }
  }

  /** Refuses new calls and waits for those under way, aborted ones included. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#running]);
  }
}

class RunningCall implements Call {
  readonly #what: string;
  readonly signal: AbortSignal | undefined;
  readonly #isClosed: () => boolean;
  #isHeld = false;

  constructor(what: string, signal: AbortSignal | undefined, isClosed: () => boolean) {
    this.#what = what;
    this.signal = signal;
    this.#isClosed = isClosed;
  }

  check(): void {
    if (this.#isClosed()) throw new StoreError('CLOSED', `${this.#what}: the store is closed`);
    if (this.signal?.aborted === true) throw this.#aborted();
  }

  async hold<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#isHeld = true;
    try {
      return await task();
    } finally {
      this.#isHeld = false;
    }
  }

  /** The result of the work, or `ABORTED` when the signal fires first and the call is not held. */
  orAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (!this.#isHeld) reject(this.#aborted());
      };
      signal.addEventListener('abort', onAbort);
      work.then(
        (result) => {
          signal.removeEventListener('abort', onAbort);
          resolve(result);
        },
        (error: unknown) => {
          signal.removeEventListener('abort', onAbort);
          reject(error);
        },
      );
    });
  }

  #aborted(): StoreError {
    return new StoreError('ABORTED', `${this.#what} was aborted`, { cause: this.signal?.reason });
  }
}
