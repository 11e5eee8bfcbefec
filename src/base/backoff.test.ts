import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backoffMs } from './backoff.ts';

const options = { firstMs: 200, mostMs: 30_000 };
const almostOne = 1 - Number.EPSILON;

describe('backoffMs()', () => {
  it('doubles with every failure up to the most', () => {
    const waits = Array.from({ length: 10 }, (_, i) => backoffMs(i + 1, almostOne, options));
    const expected = [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000];
    assert.deepEqual(waits.map(Math.round), expected);
  });

  it('spreads waiters over the upper half of the wait', () => {
    for (const failures of [1, 3, 20]) {
      const most = backoffMs(failures, almostOne, options);
      const least = backoffMs(failures, 0, options);
      assert.equal(Math.round(most / least), 2);
      assert.equal(Math.round(backoffMs(failures, 0.5, options)), Math.round(most * 0.75));
    }
  });

  it('stays finite and positive after any number of failures', () => {
    for (const failures of [0, 1, 64, 2000, Number.MAX_SAFE_INTEGER]) {
      const wait = backoffMs(failures, 0.3, options);
      assert.ok(wait >= 100 && wait <= options.mostMs, `${failures} failures: ${wait} ms`);
    }
  });

  it('never exceeds the most, even when the first is larger', () => {
    assert.ok(backoffMs(1, almostOne, { firstMs: 500, mostMs: 100 }) <= 100);
  });
});
