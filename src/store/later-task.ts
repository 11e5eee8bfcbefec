import type { BackgroundTask } from './background-task.ts';

/** When a store begins what it can be opened without. */
export interface Beginnings {
  /** It may be called from now on: what the first calls need. */
  readonly ready: Promise<void>;
  /** The process has come to rest for the first time: what only makes later calls faster. */
  readonly rest: Promise<void>;
}

/**
 * A task that begins when the promise resolves: what makes later calls faster must not make the start
 * of a process slower that somebody waits for. Stopped before, it never begins.
 */
export class LaterTask implements BackgroundTask {
  #task: BackgroundTask | undefined;
  #isStopped = false;

  constructor(when: Promise<void>, begin: () => BackgroundTask) {
    void when.then(() => {
      if (!this.#isStopped) this.#task = begin();
    });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#task?.stop();
  }
}

/** The task, which begins at once where there is nothing to wait for. */
export function beginAfter(
  when: Promise<void> | undefined,
  begin: () => BackgroundTask,
): BackgroundTask {
  return when === undefined ? begin() : new LaterTask(when, begin);
}
