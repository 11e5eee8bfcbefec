import type { Dice } from './dice.ts';

/** What a part of a simulated process needs of it. */
export interface ProcessDoor {
  /**
   * Does the task after so many milliseconds and answers, as long as the process lives. `cutOff` is
   * what a kill may leave of it: all, or a part. Without it nothing happens without an answer.
   */
  ask<Result>(ms: number, task: () => Result, cutOff?: (dice: Dice) => void): Promise<Result>;
  trace(what: string): void;
}
