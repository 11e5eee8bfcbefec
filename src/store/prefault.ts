import type { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { BackgroundTask } from './background-task.ts';

/** Memory is made again so long after some was taken: whoever took it is not done by then. */
const restMs = 100;

export interface Upkeep {
  /** As much is made again behind whatever is taken. */
  readonly isKeptUp: boolean;
  /** Before it, others need the processors more than what is made again; at once when absent. */
  readonly rest?: Promise<void> | undefined;
}

/**
 * Touches the first part of the memory tier in small steps between other work: the first touch of a
 * page costs eight times its reuse (memory-tier.bench.ts), and would be paid by the first load. Where another thread
 * takes memory, that touches it too. Where that is kept up, as much is made again behind whatever is taken.
 */
export class Prefault implements BackgroundTask {
  readonly #memory: SlabMemoryTier;
  readonly #clock: Clock;
  readonly #byteLength: number;
  #running: Promise<void>;
  #isRunning = false;
  /** More was planned since it last looked. */
  #isDue = true;
  #timer: ScheduledCall | undefined;
  #isStopped = false;
  #hasRested: boolean;

  /** Begins at once. */
  constructor(
    memory: SlabMemoryTier,
    clock: Clock,
    byteLength: number,
    { isKeptUp, rest }: Upkeep,
  ) {
    this.#memory = memory;
    this.#clock = clock;
    this.#byteLength = byteLength;
    memory.planPrefault(byteLength);
    this.#running = this.#run();
    if (isKeptUp) memory.onGrowth = () => this.#onGrowth();
    this.#hasRested = rest === undefined;
    void rest?.then(() => {
      this.#hasRested = true;
    });
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#memory.onGrowth = undefined;
    this.#timer?.cancel();
    return this.#running;
  }

  /**
   * Where another thread makes memory, it need not wait until none is left, but for the first load of a process: on two
   * processors that would be twice as long for it (docs/decisions/0118).
   */
  #onGrowth(): void {
    const { isTakenLater, aheadBytes } = this.#memory.source;
    const isDue = isTakenLater && this.#hasRested && aheadBytes <= this.#byteLength / 2;
    if (isDue) this.#goOn();
    else this.#timer ??= this.#clock.schedule(restMs, () => this.#goOn());
  }

  #goOn(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#memory.source.planAhead(this.#byteLength);
    this.#isDue = true;
    if (!this.#isRunning) this.#running = this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      while (this.#isDue && !this.#isStopped) {
        this.#isDue = false;
        while (!this.#isStopped && this.#memory.prefaultStep()) await this.#clock.yield();
        if (!this.#isStopped && (await this.#memory.source.prefaultLater())) this.#isDue = true;
      }
    } finally {
      this.#isRunning = false;
    }
  }
}
