import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SequenceHistory } from './sequence-history.ts';

const blockTokens = 128;

describe('SequenceHistory', () => {
  it('knows nothing bad of a fresh sequence', () => {
    assert.deepEqual(factsOf(new SequenceHistory(blockTokens)), { ends: [] });
  });

  it('remembers where decoding began first', () => {
    const history = new SequenceHistory(blockTokens);
    history.decode(700);
    history.decode(701);
    assert.equal(history.decodedFrom, 700);
    history.decode(300);
    assert.equal(history.decodedFrom, 300);
  });

  it('remembers the first tainted cell, and none below zero', () => {
    const history = new SequenceHistory(blockTokens);
    history.taint(50);
    history.taint(60);
    assert.equal(history.taintedFrom, 50);
    history.taint(-5);
    assert.equal(history.taintedFrom, 0);
  });

  it('takes a prefill for a fresh one when it begins at a block', () => {
    const history = new SequenceHistory(blockTokens);
    history.prefill(0);
    history.prefill(512);
    history.prefill(640);
    assert.equal(history.decodedFrom, undefined);
  });

  it('takes a prefill that begins inside a block for decoded from there on', () => {
    const history = new SequenceHistory(blockTokens);
    history.prefill(640);
    history.endPrompt(700);
    history.prefill(700);
    assert.equal(history.decodedFrom, 700);
  });

  describe('cutTo()', () => {
    it('forgets what was said of cells that are gone', () => {
      const history = new SequenceHistory(blockTokens);
      history.taint(512);
      history.decode(640);
      history.endPrompt(600);
      history.cutTo(512);
      assert.deepEqual(factsOf(history), { ends: [] });
    });

    it('keeps what was said of cells that stay', () => {
      const history = new SequenceHistory(blockTokens);
      history.endPrompt(300);
      history.taint(512);
      history.decode(600);
      history.cutTo(650);
      assert.deepEqual(factsOf(history), { tainted: 512, decoded: 600, ends: [300] });
    });

    it('takes the rest of a block for decoded: it was computed with what is gone', () => {
      const history = new SequenceHistory(blockTokens);
      history.prefill(0);
      history.cutTo(660);
      assert.equal(history.decodedFrom, 640);
    });

    it('leaves all as it was at a block, and where a prompt ended', () => {
      const history = new SequenceHistory(blockTokens);
      history.endPrompt(699);
      history.decode(699);
      history.cutTo(699);
      assert.deepEqual(factsOf(history), { ends: [699] });
      history.cutTo(640);
      assert.deepEqual(factsOf(history), { ends: [] });
    });

    it('does not take the end of an earlier prompt, of which nothing is left, for one', () => {
      const history = new SequenceHistory(blockTokens);
      history.endPrompt(660);
      history.cutTo(640);
      history.prefill(640);
      history.cutTo(660);
      assert.equal(history.decodedFrom, 640);
    });

    it('to nothing makes the history that of a fresh sequence', () => {
      const history = new SequenceHistory(blockTokens);
      history.taint(0);
      history.decode(0);
      history.endPrompt(10);
      history.cutTo(0);
      assert.deepEqual(factsOf(history), { ends: [] });
    });
  });

  it('replace() forgets all but where the stored cells were decoded', () => {
    const history = new SequenceHistory(blockTokens);
    history.taint(5);
    history.decode(5);
    history.endPrompt(10);
    history.replace(undefined);
    assert.deepEqual(factsOf(history), { ends: [] });
    history.replace(640);
    assert.deepEqual(factsOf(history), { decoded: 640, ends: [] });
  });

  it('remembers the last four ends of prompts, each once', () => {
    const history = new SequenceHistory(blockTokens);
    for (const end of [10, 20, 20, 30, 40, 50]) history.endPrompt(end);
    assert.deepEqual(history.promptEnds, [20, 30, 40, 50]);
  });

  it('counts every change, and nothing else', () => {
    const history = new SequenceHistory(blockTokens);
    const steps: readonly [boolean, () => void][] = [
      [true, () => history.decode(10)],
      [false, () => history.decode(10)],
      [false, () => history.decode(11)],
      [false, () => history.prefill(128)],
      [true, () => history.prefill(5)],
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
   * keeps, for every cell, the batch that it was computed in.
   */
  it('never takes a cell for fresh that was computed in another batch', () => {
    const length = fc.integer({ min: 0, max: 5 * blockTokens });
    const step = fc.record({ kind: fc.constantFrom('prompt', 'decode', 'cut'), length });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const history = new SequenceHistory(blockTokens);
        const model = new BatchModel(history);
        for (const { kind, length: to } of steps) {
          if (kind === 'prompt') model.prompt(to);
          else if (kind === 'decode') model.decode();
          else model.cut(to);
          model.check();
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** The batch of each cell, as the adapter computes them. */
class BatchModel {
  readonly #history: SequenceHistory;
  #cells: { start: number; end: number }[] = [];

  constructor(history: SequenceHistory) {
    this.#history = history;
  }

  prompt(end: number): void {
    this.cut(end);
    const start = this.#cells.length;
    const blocksEnd = Math.max(start, end - (end % blockTokens));
    if (blocksEnd > start) this.#batch(start, blocksEnd);
    if (end > blocksEnd) this.#batch(blocksEnd, end);
    this.#history.endPrompt(end);
  }

  decode(): void {
    const start = this.#cells.length;
    this.#history.decode(start);
    this.#cells.push({ start, end: start + 1 });
  }

  cut(length: number): void {
    if (length >= this.#cells.length) return;
    this.#cells = this.#cells.slice(0, length);
    this.#history.cutTo(length);
  }

  /** Every tail and block that would be stored as fresh consists of batches of a fresh prefill. */
  check(): void {
    const { decodedFrom = Infinity, promptEnds } = this.#history;
    const isFresh = (end: number): boolean => end <= decodedFrom;
    for (let end = blockTokens; end <= this.#cells.length; end += blockTokens) {
      if (!isFresh(end)) continue;
      for (const batch of this.#cells.slice(end - blockTokens, end)) {
        assert.ok(batch.start % blockTokens === 0 && batch.end >= end, `block before ${end}`);
      }
    }
    for (const end of new Set([...promptEnds, this.#cells.length])) {
      const start = end - (end % blockTokens);
      if (start === end || end > this.#cells.length || !isFresh(end)) continue;
      for (const batch of this.#cells.slice(start, end)) {
        assert.deepEqual(batch, { start, end }, `tail before ${end}`);
      }
    }
  }

  #batch(start: number, end: number): void {
    this.#history.prefill(start);
    for (let cell = start; cell < end; cell += 1) this.#cells.push({ start, end });
  }
}

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
