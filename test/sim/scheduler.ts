import { nodePlatform } from '../../src/platform/node-platform.ts';

/** Something that will happen. */
export interface SimEvent {
  /** It does not happen any more. Harmless when it has. */
  cancel(): void;
}

interface QueuedEvent {
  readonly atMs: number;
  readonly order: number;
  fire: (() => void) | undefined;
}

/** Virtual time without end means that somebody polls for what never comes. */
const eventsMax = 20_000_000;

/**
 * Virtual time. What is to happen stands in a queue; the next event fires when all code that the
 * last one woke has come to rest, so nothing depends on how fast this machine is. Events of the same
 * moment fire in the order in which they were planned.
 */
export class Scheduler {
  readonly #real = nodePlatform().clock;
  /** A binary heap: the next event stands first. */
  readonly #queue: QueuedEvent[] = [];
  #nowMs = 0;
  #planned = 0;
  #fired = 0;

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have fired. */
  get fired(): number {
    return this.#fired;
  }

  after(ms: number, fire: () => void): SimEvent {
    const event: QueuedEvent = {
      atMs: this.#nowMs + Math.max(0, ms),
      order: this.#planned,
      fire,
    };
    this.#planned += 1;
    this.#push(event);
    return {
      cancel: () => {
        event.fire = undefined;
      },
    };
  }

  /** Resolves after so much virtual time. Somebody else has to run the events. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Fires events until the task has settled, and gives its result. */
  async run<Result>(task: Promise<Result>): Promise<Result> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    task.then(settle, settle);
    for (;;) {
      await this.#real.yield();
      if (isSettled) return task;
      this.#fireNext();
    }
  }

  #fireNext(): void {
    for (;;) {
      const next = this.#pop();
      if (next === undefined) throw new Error('deadlock: nothing is going to happen any more');
      if (next.fire === undefined) continue;
      this.#nowMs = next.atMs;
      this.#fired += 1;
      if (this.#fired > eventsMax) throw new Error(`livelock: ${eventsMax} events fired`);
      next.fire();
      return;
    }
  }

  #push(event: QueuedEvent): void {
    const queue = this.#queue;
    let at = queue.length;
    queue.push(event);
    while (at > 0) {
      const above = (at - 1) >>> 1;
      if (!isBefore(event, queue[above])) break;
      queue[at] = queue[above];
      at = above;
    }
    queue[at] = event;
  }

  #pop(): QueuedEvent | undefined {
    const queue = this.#queue;
    const first = queue[0];
    const last = queue.pop();
    if (last === undefined || queue.length === 0) return last;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= queue.length) break;
      if (below + 1 < queue.length && isBefore(queue[below + 1], queue[below])) below += 1;
      if (!isBefore(queue[below], last)) break;
      queue[at] = queue[below];
      at = below;
    }
    queue[at] = last;
    return first;
  }
}

function isBefore(a: QueuedEvent, b: QueuedEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
