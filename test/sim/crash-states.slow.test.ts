import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recordHistory } from './crash-history.ts';
import { checkCrashState, crashStatesOf } from './crash-states.ts';
import type { CrashState } from './crash-states.ts';

const histories = 52;
const statesMin = 5000;
/** States tried of each history, spread over it. */
const statesPerHistory = 110;

function spread(states: readonly CrashState[]): readonly CrashState[] {
  return states.filter((_, index) => (index * statesPerHistory) % states.length < statesPerHistory);
}

// Goal: whatever a crash leaves on the disk, the next process gives every accepted byte and no wrong
// one, and finishes the uploads. Method: histories of real saves, overwritten raw tails, uploads,
// evictions and closes are recorded as changes of disk and bucket; the disk as it was after each of
// them, with the next write cut off anywhere, and with the power lost, is opened by the real store.
describe('crash states', () => {
  it(`hold after every step of ${histories} histories`, async (t) => {
    const sums = { states: 0, torn: 0, powerLost: 0, evictions: 0, overwrites: 0 };
    for (let seed = 0; seed < histories; seed += 1) {
      const history = await recordHistory(seed);
      sums.evictions += history.evictions;
      sums.overwrites += history.overwrites;
      for (const state of spread(crashStatesOf(seed, history.events))) {
        const { count, tornBytes, isPowerLost = false } = state;
        sums.states += 1;
        if (tornBytes !== undefined) sums.torn += 1;
        if (isPowerLost) sums.powerLost += 1;
        const failure = await checkCrashState(state);
        const what = `history ${seed} after ${count} events, ${tornBytes} torn, ${isPowerLost}`;
        assert.equal(failure, undefined, what);
      }
    }
    t.diagnostic(JSON.stringify(sums));
    assert.ok(sums.states >= statesMin, `${sums.states} states`);
    assert.ok(sums.evictions >= histories && sums.overwrites >= histories);
    assert.ok(sums.torn >= 500 && sums.powerLost >= 500);
  });
});
