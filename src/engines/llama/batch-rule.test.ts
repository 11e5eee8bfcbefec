import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BatchRule } from './batch-rule.ts';

describe('BatchRule', () => {
  it('takes a prefill for regular from the smallest batch on', () => {
    const rule = new BatchRule(64, 512);
    assert.deepEqual(
      [1, 63, 64, 512, 513, 5000].map((count) => rule.isRegular(count)),
      [...[false, false, true, true, true, true]],
    );
  });

  it('leaves a prefill whole unless its last batch were too small', () => {
    const rule = new BatchRule(64, 512);
    const cases: readonly (readonly [tokens: number, firstCall: number])[] = [
      [1, 1],
      [63, 63],
      [512, 512],
      [513, 449],
      [575, 511],
      [576, 576],
      [1699, 1699],
      [1536 + 3, 1536 + 3 - 64],
    ];
    for (const [tokens, first] of cases) assert.equal(rule.firstCall(tokens), first, `${tokens}`);
  });

  it('takes nothing for regular where a batch holds less than two of the smallest', () => {
    const rule = new BatchRule(64, 127);
    assert.ok(!rule.isRegular(10_000));
    assert.equal(rule.firstCall(128), 128);
    assert.ok(new BatchRule(64, 128).isRegular(64));
  });

  it('cuts every regular prefill into batches that are all regular', () => {
    const min = fc.constantFrom(2, 64);
    const batchSize = fc.integer({ min: 128, max: 1024 });
    fc.assert(
      fc.property(min, batchSize, fc.integer({ min: 64, max: 9000 }), (least, size, tokens) => {
        const rule = new BatchRule(least, size);
        const first = rule.firstCall(tokens);
        for (const call of [first, tokens - first]) {
          if (call === 0) continue;
          const last = call % size === 0 ? size : call % size;
          assert.ok(Math.min(call, last) >= least, `${tokens} of ${size}: ${first}`);
        }
        assert.equal(rule.firstCall(tokens - first), tokens - first);
      }),
    );
  });
});
