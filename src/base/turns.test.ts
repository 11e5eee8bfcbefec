import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from './deferred.ts';
import { Turns } from './turns.ts';

describe('Turns', () => {
  it('begins a task of a key when the one before it has ended, and of another key at once', async () => {
    const turns = new Turns<string>();
    const first = deferred<void>();
    const began: string[] = [];
    const run = (key: string, name: string, until?: Promise<void>): Promise<string> =>
      turns.run(key, async () => {
        began.push(name);
        await until;
        return name;
      });
    const all = [run('a', 'a1', first.promise), run('a', 'a2'), run('a', 'a3'), run('b', 'b1')];
    assert.deepEqual(await all[3], 'b1');
    assert.deepEqual(began, ['a1', 'b1']);
    first.resolve();
    assert.deepEqual(await Promise.all(all), ['a1', 'a2', 'a3', 'b1']);
    assert.deepEqual(began, ['a1', 'b1', 'a2', 'a3']);
  });

  it('goes on behind a task that fails, whose caller hears of it', async () => {
    const turns = new Turns<string>();
    const failing = turns.run('a', () => Promise.reject(new Error('refused')));
    const next = turns.run('a', async () => 'next');
    await assert.rejects(failing, /refused/);
    assert.equal(await next, 'next');
  });
});
