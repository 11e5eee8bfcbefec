import type { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import type { Clock } from '../platform/clock.ts';
import type { BackgroundTask } from './background-task.ts';

/**
 * Touches the first part of the memory tier in small steps between other work: the first touch of a
 * page costs eight times its reuse (memory-tier.bench.ts), and would be paid by the first load.
 */
export class Prefault implements BackgroundTask {
  readonly #running: Promise<void>;
  #isStopped = false;

  /** Begins at once. */
  constructor(memory: SlabMemoryTier, clock: Clock, byteLength: number) {
    this.#running = this.#run(memory, clock, byteLength);
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    return this.#running;
  }

  async #run(memory: SlabMemoryTier, clock: Clock, byteLength: number): Promise<void> {
    memory.planPrefault(byteLength);
    while (!this.#isStopped && memory.prefaultStep()) await clock.yield();
  }
}
