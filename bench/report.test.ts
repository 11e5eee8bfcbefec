import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { atMost, rowOf } from './report.ts';

describe('rowOf', () => {
  it('holds the median against one value', () => {
    const row = rowOf({
      ...{ what: 'w', unit: 'ms', samples: [10, 30, 20], bar: atMost(2) },
      against: { what: 'a limit', value: 8 },
    });
    assert.deepEqual([row.ratio, row.isMet, row.against?.value], [2.5, false, 8]);
  });

  it('holds each round against its own, so that a slow round is slow on both sides', () => {
    const row = rowOf({
      ...{ what: 'w', unit: 'ms', samples: [10, 100, 33], bar: atMost(1.1) },
      against: { what: 'the other side', value: [10, 100, 30] },
    });
    assert.deepEqual([row.ratio, row.isMet, row.against?.value], [1, true, 30]);
    const faster = rowOf({
      ...{ what: 'w', unit: 'ms', samples: [10, 20], ratio: 'speed-up' },
      against: { what: 'the other side', value: [20, 80] },
    });
    assert.equal(faster.ratio, 3);
  });

  it('refuses rounds that have no counterpart', () => {
    const against = { what: 'the other side', value: [1] };
    assert.throws(
      () => rowOf({ what: 'w', unit: 'ms', samples: [1, 2], against }),
      /2 rounds .* 1/,
    );
  });
});
