import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { medianOf, summarize } from './statistics.ts';

describe('summarize', () => {
  it('gives the middle of an odd number of samples, and the range', () => {
    assert.deepEqual(summarize([30, 1, 2]), { median: 2, min: 1, max: 30, rounds: 3 });
  });

  it('gives the mean of the two middle ones of an even number', () => {
    assert.equal(medianOf([4, 1, 100, 2]), 3);
  });

  it('compares as numbers, not as text', () => {
    assert.equal(medianOf([9, 10, 100]), 10);
  });

  it('leaves the samples as they are', () => {
    const samples = [3, 1, 2];
    summarize(samples);
    assert.deepEqual(samples, [3, 1, 2]);
  });

  it('refuses no samples and what is not a number', () => {
    assert.throws(() => summarize([]), RangeError);
    assert.throws(() => summarize([1, Number.NaN]), /a sample is NaN/);
  });
});
