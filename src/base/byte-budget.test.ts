import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { ByteBudget } from './byte-budget.ts';

const patient = new AbortController().signal;

/** Takes bytes and notes when they came. */
function takeAndNote(budget: ByteBudget, bytes: number, notes: string[], name: string): void {
  void budget.take(bytes, patient).then(() => notes.push(name));
}

describe('ByteBudget', () => {
  it('lets in what fits and makes the rest wait, in order', async () => {
    const budget = new ByteBudget(10);
    const notes: string[] = [];
    takeAndNote(budget, 6, notes, 'a');
    takeAndNote(budget, 6, notes, 'b');
    takeAndNote(budget, 1, notes, 'c');
    await nextTurn();
    assert.deepEqual(notes, ['a'], 'nobody overtakes');
    budget.give(6);
    await nextTurn();
    assert.deepEqual(notes, ['a', 'b', 'c']);
    assert.equal(budget.taken, 7);
  });

  it('lets in what exceeds the bound when it is alone', async () => {
    const budget = new ByteBudget(10);
    await budget.take(25, patient);
    const notes: string[] = [];
    takeAndNote(budget, 1, notes, 'small');
    await nextTurn();
    assert.deepEqual(notes, []);
    budget.give(25);
    await nextTurn();
    assert.deepEqual(notes, ['small']);
  });

  it('who stops waiting is passed over, and whoever stood behind comes in', async () => {
    const budget = new ByteBudget(10);
    await budget.take(8, patient);
    const controller = new AbortController();
    const impatient = budget.take(9, controller.signal);
    const notes: string[] = [];
    takeAndNote(budget, 2, notes, 'behind');
    controller.abort(new Error('no time'));
    await assert.rejects(impatient, /no time/);
    await nextTurn();
    assert.deepEqual(notes, ['behind']);
    await assert.rejects(budget.take(1, controller.signal), /no time/);
    assert.equal(budget.taken, 10);
  });
});
