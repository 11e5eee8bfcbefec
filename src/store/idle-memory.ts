import { limits } from '../blocks/limits.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { BackgroundTask } from './background-task.ts';

/** V8 frees more some seconds behind a collection. */
const trimsOfRest = 2;

export interface IdleMemoryParts {
  readonly clock: Clock;
  /** Processor time that the process has used, in milliseconds. */
  readonly processorMs: () => number;
  /** Has all threads collect their garbage; some do so a moment later. */
  readonly collect: () => void;
  /** Gives what is free by then back to the system. */
  readonly trim: () => void;
}

/**
 * Gives memory back when its process has come to rest (docs/decisions/0119): what calls have left as garbage, and
 * what allocators keep for the next one. Looks now and then at the time that the process has used, so
 * that whatever works, uploads and threads too, counts. Once for each rest: what giving back takes is no work.
 */
export class IdleMemory implements BackgroundTask {
  readonly #parts: IdleMemoryParts;
  /** Looks in a row that found the process at rest. */
  #restedLooks = 0;
  #usedMs: number;
  #timer: ScheduledCall;

  /** Begins at once. */
  constructor(parts: IdleMemoryParts) {
    this.#parts = parts;
    this.#usedMs = parts.processorMs();
    this.#timer = this.#schedule();
  }

  stop(): Promise<void> {
    this.#timer.cancel();
    return Promise.resolve();
  }

  #schedule(): ScheduledCall {
    return this.#parts.clock.schedule(limits.idleLookMs, () => this.#look());
  }

  #look(): void {
    const { processorMs, collect, trim } = this.#parts;
    const isBusy = processorMs() - this.#usedMs > limits.idleProcessorMs;
    if (isBusy) this.#restedLooks = 0;
    else if (this.#restedLooks <= trimsOfRest) {
      if (this.#restedLooks === 0) collect();
      else trim();
      this.#restedLooks += 1;
    }
    this.#usedMs = processorMs();
    this.#timer = this.#schedule();
  }
}
