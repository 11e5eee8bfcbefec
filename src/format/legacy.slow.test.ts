import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sweepChanges } from '../../test/golden/legacy-sweep.ts';
import { rustObjects } from '../../test/golden/rust-bucket.ts';
import { loadZstd } from './zstd.ts';

// Goal: no change of one byte of a real WBZ1 body gives a payload of another length. Method: change
// every byte of every body in the bucket, all of its bits at once; legacy.test.ts does more changes
// at fewer places.
test('every changed byte of every WBZ1 body is refused or keeps the length', (t) => {
  const zstd = loadZstd();
  let refused = 0;
  let equal = 0;
  let altered = 0;
  let positions = 0;
  for (const object of rustObjects().filter(({ isEnveloped }) => isEnveloped)) {
    const counts = sweepChanges(object, object.body.keys(), [255], zstd);
    refused += counts.refused;
    equal += counts.equal;
    altered += counts.altered;
    positions += object.body.length;
  }
  t.diagnostic(`${positions} changes: ${refused} refused, ${equal} equal, ${altered} altered`);
  assert.equal(refused + equal + altered, positions);
  assert.equal(equal, 14, 'the level byte of each body means nothing');
});
