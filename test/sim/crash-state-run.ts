import assert from 'node:assert/strict';
import { recordHistory } from './crash-history.ts';
import type { HistoryBucket } from './crash-history.ts';
import { checkCrashState, crashStatesOf } from './crash-states.ts';

/** How many histories, and the least of states that they must make. */
export interface CrashStateRun {
  readonly bucket: HistoryBucket;
  readonly histories: number;
  readonly statesMin: number;
}

/**
 * Goal: whatever a crash leaves on the disk, the next process gives every accepted byte and no wrong
 * one, and finishes the uploads. Method: histories of real saves, overwritten raw tails, bound tails, uploads,
 * evictions and closes are recorded as changes of disk and bucket; the disk as it was after each of
 * them, with the next write cut off at two places, and with the power lost, is opened by the real store.
 */
export async function crashStateRun(
  { bucket, histories, statesMin }: CrashStateRun,
  tell: (line: string) => void,
): Promise<void> {
  const sums = { states: 0, torn: 0, powerLost: 0, evictions: 0, overwrites: 0, tails: 0 };
  for (let seed = 0; seed < histories; seed += 1) {
    const history = await recordHistory(seed, bucket);
    sums.evictions += history.evictions;
    sums.overwrites += history.overwrites;
    sums.tails += history.tails;
    for (const state of crashStatesOf({ seed, bucket }, history.events)) {
      const { count, tornBytes, isPowerLost = false } = state;
      sums.states += 1;
      if (tornBytes !== undefined) sums.torn += 1;
      if (isPowerLost) sums.powerLost += 1;
      const failure = await checkCrashState(state);
      const what = `history ${seed} after ${count} events, ${tornBytes} torn, ${isPowerLost}`;
      assert.equal(failure, undefined, what);
    }
  }
  tell(JSON.stringify(sums));
  assert.ok(sums.states >= statesMin, `${sums.states} states`);
  assert.ok(sums.evictions >= histories && sums.overwrites >= histories && sums.tails >= histories);
  assert.ok(sums.torn >= statesMin / 10 && sums.powerLost >= statesMin / 10);
}
