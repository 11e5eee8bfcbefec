import type { Clock } from '../platform/clock.ts';

/** Between two looks: an owner connects, and makes its first calls, in much less. */
const lookMs = 100;

/** Processor time between two looks of a process that has next to nothing to do. */
const restMs = 5;

/** Looks after which the process is one that always works, and has what later calls need as well. */
const looksMax = 50;

export interface FirstRestParts {
  readonly clock: Clock;
  /** Processor time that the process has used, in milliseconds. */
  readonly processorMs: () => number;
}

/**
 * Resolves when a process that has just started has come to rest for the first time. What is done then only makes later
 * calls faster; on two processors it would take half of them from the calls that an engine begins with (docs/decisions/0118).
 */
export async function firstRest({ clock, processorMs }: FirstRestParts): Promise<void> {
  let usedMs = processorMs();
  for (let looks = 0; looks < looksMax; looks += 1) {
    await clock.sleep(lookMs, undefined, 'idle');
    const nowMs = processorMs();
    if (nowMs - usedMs < restMs) return;
    usedMs = nowMs;
  }
}
