import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from './deferred.ts';
import { SingleFlight } from './single-flight.ts';

describe('SingleFlight', () => {
  it('runs one task for all who board while it runs', async () => {
    const flights = new SingleFlight<string, object>();
    const answer = deferred<object>();
    let started = 0;
    const start = (): Promise<object> => {
      started += 1;
      return answer.promise;
    };
    const boardings = [1, 2, 3].map(() => flights.board('key', start));
    assert.equal(flights.size, 1);
    const value = {};
    answer.resolve(value);
    for (const { result } of boardings) assert.equal(await result, value);
    assert.equal(started, 1);
    assert.equal(flights.size, 0);
  });

  it('remembers nothing once the task has ended, failed or not', async () => {
    const flights = new SingleFlight<string, number>();
    const failing = flights.board('key', () => Promise.reject(new Error('first')));
    await assert.rejects(failing.result, /first/);
    assert.equal(flights.size, 0);
    assert.equal(await flights.board('key', () => Promise.resolve(2)).result, 2);
  });

  it('keeps tasks of different keys apart', async () => {
    const flights = new SingleFlight<number, number>();
    const results = [1, 2].map((key) => flights.board(key, () => Promise.resolve(key * 10)).result);
    assert.deepEqual(await Promise.all(results), [10, 20]);
  });

  it('aborts a task that everybody has left, and starts afresh for the next', async () => {
    const flights = new SingleFlight<string, string>();
    let signal: AbortSignal | undefined;
    const hang = (given: AbortSignal): Promise<string> => {
      signal = given;
      return new Promise(() => undefined);
    };
    const first = flights.board('key', hang);
    const second = flights.board('key', hang);
    first.leave();
    first.leave();
    assert.equal(signal?.aborted, false);
    second.leave();
    assert.equal(signal?.aborted, true);
    assert.equal(await flights.board('key', () => Promise.resolve('new')).result, 'new');
  });

  it('lets a task go on when somebody who left is not the last', async () => {
    const flights = new SingleFlight<string, string>();
    const answer = deferred<string>();
    const first = flights.board('key', () => answer.promise);
    const second = flights.board('key', () => answer.promise);
    first.leave();
    answer.resolve('done');
    assert.equal(await second.result, 'done');
    second.leave();
  });
});
