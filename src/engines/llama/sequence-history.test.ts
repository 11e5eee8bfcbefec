import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BatchRule } from './batch-rule.ts';
import { SequenceHistory } from './sequence-history.ts';

const rule = new BatchRule(64, 512);

describe('SequenceHistory', () => {
  it('knows nothing bad of a fresh sequence', () => {
    assert.deepEqual(factsOf(new SequenceHistory(rule)), { ends: [] });
  });

  it('remembers where decoding began first', () => {
    const history = new SequenceHistory(rule);
    history.decode(700);
    history.decode(701);
    assert.equal(history.decodedFrom, 700);
    history.decode(300);
    assert.equal(history.decodedFrom, 300);
  });

  it('remembers the first tainted cell, and none below zero', () => {
    const history = new SequenceHistory(rule);
    history.taint(50);
    history.taint(60);
    assert.equal(history.taintedFrom, 50);
    history.taint(-5);
    assert.equal(history.taintedFrom, 0);
  });

  it('takes a prefill of regular batches for a fresh one, wherever it begins', () => {
    const history = new SequenceHistory(rule);
    history.prefill(0, 512);
    history.prefill(512, 64);
    history.prefill(576, 65);
    assert.equal(history.decodedFrom, undefined);
  });

  it('takes a prefill of a smaller batch for decoded from there on', () => {
    const history = new SequenceHistory(rule);
    history.prefill(0, 640);
    history.prefill(640, 63);
    history.prefill(703, 512);
    assert.equal(history.decodedFrom, 640);
  });

  describe('cutTo()', () => {
    it('forgets what was said of cells that are gone', () => {
      const history = new SequenceHistory(rule);
      history.taint(512);
      history.decode(640);
      history.endPrompt(600);
      history.cutTo(512);
      assert.deepEqual(factsOf(history), { ends: [] });
    });

    it('keeps what was said of cells that stay', () => {
      const history = new SequenceHistory(rule);
      history.endPrompt(300);
      history.taint(512);
      history.decode(600);
      history.cutTo(650);
      assert.deepEqual(factsOf(history), { tainted: 512, decoded: 600, ends: [300] });
    });

    it('leaves what was computed in one batch with what is gone', () => {
      const history = new SequenceHistory(rule);
      history.prefill(0, 700);
      history.endPrompt(699);
      history.cutTo(660);
      assert.deepEqual(factsOf(history), { ends: [] });
    });

    it('to nothing makes the history that of a fresh sequence', () => {
      const history = new SequenceHistory(rule);
      history.taint(0);
      history.decode(0);
      history.endPrompt(10);
      history.cutTo(0);
      assert.deepEqual(factsOf(history), { ends: [] });
    });
  });

  it('replace() forgets all but where the stored cells were decoded', () => {
    const history = new SequenceHistory(rule);
    history.taint(5);
    history.decode(5);
    history.endPrompt(10);
    history.replace(undefined);
    assert.deepEqual(factsOf(history), { ends: [] });
    history.replace(640);
    assert.deepEqual(factsOf(history), { decoded: 640, ends: [] });
  });

  it('remembers the last four ends of prompts, each once', () => {
    const history = new SequenceHistory(rule);
    for (const end of [10, 20, 20, 30, 40, 50]) history.endPrompt(end);
    assert.deepEqual(history.promptEnds, [20, 30, 40, 50]);
  });

  it('counts every change, and nothing else', () => {
    const history = new SequenceHistory(rule);
    const steps: readonly [boolean, () => void][] = [
      [true, () => history.decode(10)],
      [false, () => history.decode(10)],
      [false, () => history.decode(11)],
      [false, () => history.prefill(5, 64)],
      [true, () => history.prefill(5, 63)],
      [true, () => history.endPrompt(20)],
      [false, () => history.endPrompt(20)],
      [true, () => history.taint(3)],
      [true, () => history.cutTo(100)],
      [true, () => history.replace(undefined)],
    ];
    for (const [index, [isChange, step]] of steps.entries()) {
      const before = history.changes;
      step();
      assert.equal(history.changes !== before, isChange, `step ${index}`);
    }
  });

  /**
   * Goal: a cell that is not what a fresh prefill computes never counts as one. Method: a model that
   * keeps, for every cell, whether it and all before it were computed in regular batches.
   */
  it('never takes a cell for fresh that was computed in another batch, or behind such', () => {
    const length = fc.integer({ min: 0, max: 640 });
    const step = fc.record({ kind: fc.constantFrom('prompt', 'decode', 'cut'), length });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const history = new SequenceHistory(rule);
        let cells: boolean[] = [];
        const add = (count: number, isRegular: boolean): void => {
          const isFresh = isRegular && cells.every(Boolean);
          for (let i = 0; i < count; i += 1) cells.push(isFresh);
        };
        for (const { kind, length: to } of steps) {
          if (kind !== 'decode' && to < cells.length) {
            cells = cells.slice(0, to);
            history.cutTo(to);
          }
          const start = cells.length;
          if (kind === 'decode') {
            history.decode(start);
            add(1, false);
          } else if (kind === 'prompt' && to > start) {
            history.prefill(start, to - start);
            add(to - start, to - start >= 64);
          }
          assert.equal(history.decodedFrom ?? cells.length, cells.filter(Boolean).length);
        }
      }),
      { numRuns: 500 },
    );
  });
});

interface Facts {
  readonly tainted?: number;
  readonly decoded?: number;
  readonly ends: readonly number[];
}

function factsOf(history: SequenceHistory): Facts {
  const { taintedFrom, decodedFrom, promptEnds } = history;
  return {
    ...(taintedFrom === undefined ? {} : { tainted: taintedFrom }),
    ...(decodedFrom === undefined ? {} : { decoded: decodedFrom }),
    ends: promptEnds,
  };
}
