import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** A daemon uploads what it has accepted before it ends; what hangs is not waited for. */
const usualPatienceMs = 10_000;

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * What a run does when it is told to end: every process that it has started ends first, daemons, engines and Redis
 * alike, then its files are removed. Node tells of every process that is made, so scenarios need not.
 */
export class RunEnd {
  readonly #children = new Set<ChildProcess>();
  readonly #cleanUp: () => void;
  readonly #patienceMs: number;
  #ending: Promise<never> | undefined;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#ending ??= this.#end(exitCodes[signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM']);
  };
  readonly #onChild = (message: unknown): void => {
    const { process: child } = message as { readonly process: ChildProcess };
    this.#children.add(child);
    const forget = (): boolean => this.#children.delete(child);
    child.once('exit', forget).once('error', forget);
    // What a scenario starts as its processes end is told as soon as it runs.
    if (this.#ending !== undefined) child.once('spawn', () => child.kill('SIGKILL'));
  };

  /** Follows the processes that are made from now on; `cleanUp` removes the files of the run. */
  constructor(cleanUp: () => void, patienceMs = usualPatienceMs) {
    this.#cleanUp = cleanUp;
    this.#patienceMs = patienceMs;
    subscribe('child_process', this.#onChild);
    process.on('SIGINT', this.#onSignal).on('SIGTERM', this.#onSignal);
  }

  /**
   * Runs the task. When the run is told to end, the process ends, and this neither resolves nor rejects: that the
   * processes of a scenario have ended is no fault of its own.
   */
  async during<Result>(task: () => Promise<Result>): Promise<Result> {
    try {
      return await task();
    } catch (error) {
      if (this.#ending === undefined) throw error;
      return await this.#ending;
    } finally {
      if (this.#ending !== undefined) await this.#ending;
      this.#forget();
    }
  }

  #forget(): void {
    unsubscribe('child_process', this.#onChild);
    process.off('SIGINT', this.#onSignal).off('SIGTERM', this.#onSignal);
  }

  async #end(exitCode: number): Promise<never> {
    const deadline = sleep(this.#patienceMs, undefined, { ref: false });
    await Promise.race([this.#endChildren('SIGTERM'), deadline]);
    await this.#endChildren('SIGKILL');
    this.#cleanUp();
    return process.exit(exitCode);
  }

  /** Those that are started meanwhile have been told by then. */
  async #endChildren(signal: NodeJS.Signals): Promise<void> {
    while (this.#children.size > 0) {
      const ends = [...this.#children].map(async (child) => {
        const ended = once(child, 'exit');
        child.kill(signal);
        await ended;
      });
      await Promise.allSettled(ends);
    }
  }
}
