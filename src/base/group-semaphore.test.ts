import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AssertionError } from './assert.ts';
import { deferred } from './deferred.ts';
import type { Deferred } from './deferred.ts';
import { GroupSemaphore } from './group-semaphore.ts';

/** Tasks that end when they are told, and how many have begun. */
function tasks(semaphore: GroupSemaphore, count: number): { begun: Deferred<void>[] } {
  const begun: Deferred<void>[] = [];
  for (let i = 0; i < count; i += 1) {
    const end = deferred<void>();
    void semaphore.run(() => {
      begun.push(end);
      return end.promise;
    });
  }
  return { begun };
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

describe('GroupSemaphore', () => {
  it('lets its limit in, and the next when half of the places are free', async () => {
    const { begun } = tasks(new GroupSemaphore(4), 11);
    assert.equal(begun.length, 4);
    begun[0].resolve();
    await settled();
    assert.equal(begun.length, 4, 'one place is no group');
    begun[2].resolve();
    await settled();
    assert.equal(begun.length, 6);
    for (const end of begun.slice(0, 6)) end.resolve();
    await settled();
    assert.equal(begun.length, 10);
    for (const end of begun) end.resolve();
    await settled();
    assert.equal(begun.length, 11);
  });

  it('goes on while one task hangs', async () => {
    const { begun } = tasks(new GroupSemaphore(4), 40);
    for (let round = 0; round < 40; round += 1) {
      for (const end of begun.slice(1)) end.resolve();
      await settled();
    }
    assert.equal(begun.length, 40);
  });

  it('does not make anyone wait while it fills, however it got there', async () => {
    const semaphore = new GroupSemaphore(3);
    const { begun } = tasks(semaphore, 2);
    begun[0].resolve();
    await settled();
    assert.equal(await semaphore.run(() => Promise.resolve('in')), 'in');
    await assert.rejects(
      semaphore.run(() => Promise.reject(new Error('of the task'))),
      /of the task/,
    );
    assert.equal(await semaphore.run(() => Promise.resolve('again')), 'again');
  });

  it('has room for two at least', () => {
    for (const limit of [1, 0, 2.5]) {
      assert.throws(() => new GroupSemaphore(limit), AssertionError);
    }
  });
});
