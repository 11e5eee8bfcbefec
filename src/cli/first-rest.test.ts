import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { firstRest } from './first-rest.ts';

/** A process that works so many milliseconds in each tenth of a second; tells how many of these it did not rest. */
async function tenthsUntilRest(work: readonly number[]): Promise<number> {
  const clock = new ManualClock();
  let usedMs = 60;
  let hasRested = false;
  void firstRest({ clock, processorMs: () => usedMs }).then(() => {
    hasRested = true;
  });
  for (const [tenths, ms] of work.entries()) {
    if (hasRested) return tenths;
    usedMs += ms;
    clock.advance(100);
    // What a resolved sleep leads to runs by then.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return hasRested ? work.length : -1;
}

describe('the first rest of a process', () => {
  it('comes a tenth of a second behind its start when nobody calls', async () => {
    assert.equal(await tenthsUntilRest([0, 0]), 1);
    assert.equal(await tenthsUntilRest([4, 0]), 1);
  });

  it('waits for the first calls to be over, with pauses between them or not', async () => {
    assert.equal(await tenthsUntilRest([5, 150, 90, 4, 0]), 4);
    assert.equal(await tenthsUntilRest([50, 0, 50]), 2);
  });

  it('is not waited for longer than five seconds', async () => {
    assert.equal(await tenthsUntilRest(Array.from({ length: 49 }, () => 90)), -1);
    assert.equal(await tenthsUntilRest(Array.from({ length: 60 }, () => 90)), 50);
  });
});
