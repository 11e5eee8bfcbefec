import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from './deferred.ts';
import { mapBounded } from './map-bounded.ts';

/** Lets everything happen that waits for nothing but its turn. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('mapBounded()', () => {
  it('gives the results in order, whichever task ends first', async () => {
    const gates = [deferred<string>(), deferred<string>(), deferred<string>()];
    const mapped = mapBounded([0, 1, 2], 3, (index) => gates[index].promise);
    gates[2].resolve('c');
    gates[0].resolve('a');
    gates[1].resolve('b');
    assert.deepEqual(await mapped, ['a', 'b', 'c']);
  });

  it('never runs more tasks than the limit, and always as many as it may', async () => {
    const gates = Array.from({ length: 10 }, () => deferred<void>());
    let running = 0;
    const seen: number[] = [];
    const mapped = mapBounded(gates, 3, async (gate) => {
      running += 1;
      seen.push(running);
      await gate.promise;
      running -= 1;
    });
    for (const gate of gates) {
      gate.resolve();
      await settle();
    }
    await mapped;
    assert.deepEqual(seen, [1, 2, 3, 3, 3, 3, 3, 3, 3, 3]);
  });

  it('starts tasks in the order of the items', async () => {
    const started: number[] = [];
    await mapBounded([5, 3, 8, 1], 2, async (item) => {
      started.push(item);
      await settle();
    });
    assert.deepEqual(started, [5, 3, 8, 1]);
  });

  it('has no tasks for no items', async () => {
    assert.deepEqual(await mapBounded([], 4, () => assert.fail('nothing to do')), []);
  });

  it('rejects with the failure of a task', async () => {
    const failing = mapBounded([1, 2, 3], 2, async (item) => {
      if (item === 2) throw new RangeError('two');
      return item;
    });
    await assert.rejects(failing, /two/);
  });
});
