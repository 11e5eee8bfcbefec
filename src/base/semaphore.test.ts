import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AssertionError } from './assert.ts';
import { deferred } from './deferred.ts';
import { Semaphore } from './semaphore.ts';

describe('Semaphore', () => {
  it('lets at most its limit in at once, and all in the end', async () => {
    const semaphore = new Semaphore(3);
    let inside = 0;
    let most = 0;
    const task = async (result: number): Promise<number> => {
      inside += 1;
      most = Math.max(most, inside);
      await nextTurn();
      inside -= 1;
      return result;
    };
    const runs = Array.from({ length: 20 }, (_, i) => semaphore.run(() => task(i)));
    assert.deepEqual(
      await Promise.all(runs),
      Array.from({ length: 20 }, (_, i) => i),
    );
    assert.equal(most, 3);
    assert.equal(semaphore.waiting, 0);
  });

  it('lets waiters in by order of arrival', async () => {
    const semaphore = new Semaphore(1);
    const gate = deferred<void>();
    const order: number[] = [];
    const runs = [
      semaphore.run(() => gate.promise),
      ...[1, 2, 3].map((n) => semaphore.run(async () => void order.push(n))),
    ];
    assert.equal(semaphore.waiting, 3);
    gate.resolve();
    await Promise.all(runs);
    assert.deepEqual(order, [1, 2, 3]);
  });

  it('gives the place of a failed task to the next', async () => {
    const semaphore = new Semaphore(1);
    const failing = semaphore.run(() => Promise.reject(new Error('failed')));
    const throwing = semaphore.run(() => {
      throw new Error('thrown');
    });
    const next = semaphore.run(() => Promise.resolve('next'));
    await assert.rejects(failing, /failed/);
    await assert.rejects(throwing, /thrown/);
    assert.equal(await next, 'next');
    assert.equal(await semaphore.run(() => Promise.resolve('later')), 'later');
  });

  it('never lets a newcomer pass one who was woken but has not begun', async () => {
    const semaphore = new Semaphore(1);
    const gate = deferred<void>();
    const order: string[] = [];
    const note = (name: string) => async (): Promise<void> => void order.push(name);
    const first = semaphore.run(() => gate.promise);
    const waiter = semaphore.run(note('waiter'));
    gate.resolve();
    await first;
    await Promise.all([semaphore.run(note('newcomer')), waiter]);
    assert.deepEqual(order, ['waiter', 'newcomer']);
  });

  it('refuses a limit that is no positive whole number', () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => new Semaphore(limit), AssertionError);
    }
  });
});
