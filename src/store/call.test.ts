import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { Call } from './call.ts';

function isAborted(error: unknown): boolean {
  return isStoreError(error, 'ABORTED');
}

/** A promise that never settles. */
function never(): Promise<never> {
  return new Promise(() => undefined);
}

describe('Call.run()', () => {
  it('gives the result of its task, and leaves no timer and no listener', async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const result = await Call.run(clock, { signal }, 100, async (call) => {
      assert.equal(clock.waiting, 1);
      assert.equal(getEventListeners(signal, 'abort').length, 1);
      return call.race(Promise.resolve('done'));
    });
    assert.equal(result, 'done');
    assert.equal(clock.waiting, 0);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('leaves no timer and no listener when its task fails', async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const running = Call.run(clock, { signal }, 100, async () => {
      throw new RangeError('task');
    });
    await assert.rejects(running, /task/);
    assert.equal(clock.waiting, 0);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('ends by its deadline, and says so', async () => {
    const clock = new ManualClock();
    let seen: Call | undefined;
    const running = Call.run(clock, undefined, 100, async (call) => {
      seen = call;
      await call.race(never());
    });
    clock.advance(99);
    assert.deepEqual([seen?.isExpired, seen?.signal.aborted], [false, false]);
    clock.advance(1);
    assert.deepEqual([seen?.isExpired, seen?.signal.aborted], [true, true]);
    await assert.rejects(running, (error) => isAborted(error) && /100 ms/.test(String(error)));
  });

  it('takes the deadline of the options before the usual one', async () => {
    const clock = new ManualClock();
    for (const deadlineMs of [0, 7, 500]) {
      const running = Call.run(clock, { deadlineMs }, 100, (call) => call.race(never()));
      const outcome = assert.rejects(running, new RegExp(`${deadlineMs} ms`));
      clock.advance(deadlineMs);
      await outcome;
    }
    assert.equal(clock.waiting, 0);
  });

  it('ends when its caller aborts, with the caller’s reason as the cause', async () => {
    const clock = new ManualClock();
    const caller = new AbortController();
    let seen: Call | undefined;
    const running = Call.run(clock, { signal: caller.signal }, 100, async (call) => {
      seen = call;
      await call.race(never());
    });
    const reason = new RangeError('enough');
    caller.abort(reason);
    await assert.rejects(running, (error) => {
      assert.ok(isStoreError(error, 'ABORTED'));
      assert.equal(error.cause, reason);
      return true;
    });
    assert.equal(seen?.isExpired, false);
  });

  it('tells the deadline and the caller apart, whichever comes first', async () => {
    const clock = new ManualClock();
    for (const first of ['deadline', 'caller']) {
      const caller = new AbortController();
      const running = Call.run(clock, { signal: caller.signal }, 100, async (call) => {
        if (first === 'caller') caller.abort();
        clock.advance(100);
        caller.abort();
        assert.equal(call.isExpired, first === 'deadline');
        call.throwIfAborted();
      });
      const text = first === 'deadline' ? /100 ms has passed/ : /aborted by the caller/;
      await assert.rejects(running, text);
    }
  });

  it('does not begin for a caller who has aborted already', async () => {
    const clock = new ManualClock();
    const running = Call.run(clock, { signal: AbortSignal.abort() }, 100, () =>
      assert.fail('the task ran'),
    );
    await assert.rejects(running, isAborted);
    assert.equal(clock.waiting, 0);
  });
});

describe('Call.race()', () => {
  /** Runs the check inside of a call whose caller can abort it. */
  function insideCall(check: (call: Call, abort: () => void) => Promise<void>): Promise<void> {
    const caller = new AbortController();
    return Call.run(new ManualClock(), { signal: caller.signal }, 100, (call) =>
      check(call, () => caller.abort()),
    );
  }

  it('gives what the promise gives, or fails with', () =>
    insideCall(async (call) => {
      assert.equal(await call.race(Promise.resolve(7)), 7);
      const failure = new StoreError('UNAVAILABLE', 'gone');
      await assert.rejects(call.race(Promise.reject(failure)), failure);
    }));

  it('does not wait for a promise once the call has ended', () =>
    insideCall(async (call, abort) => {
      const waiting = call.race(never());
      abort();
      await assert.rejects(waiting, isAborted);
      await assert.rejects(call.race(never()), isAborted);
      assert.throws(() => call.throwIfAborted(), isAborted);
    }));

  it('prefers the end of the call to a result that is there already', () =>
    insideCall(async (call, abort) => {
      abort();
      await assert.rejects(call.race(Promise.resolve('late')), isAborted);
    }));

  it('leaves no failure unhandled that comes after the end', () =>
    insideCall(async (call, abort) => {
      const before = deferred<never>();
      const raced = call.race(before.promise);
      abort();
      const after = deferred<never>();
      const late = call.race(after.promise);
      before.reject(new Error('too late'));
      after.reject(new Error('later still'));
      await assert.rejects(raced, isAborted);
      await assert.rejects(late, isAborted);
      // An unhandled rejection would fail this test in the next turn.
      await new Promise((resolve) => setImmediate(resolve));
    }));

  it('leaves no listener and no warning behind, however many promises were raced', () =>
    insideCall(async (call) => {
      const warnings: unknown[] = [];
      const onWarning = (warning: unknown): unknown => warnings.push(warning);
      process.on('warning', onWarning);
      await Promise.all(Array.from({ length: 100 }, () => call.race(Promise.resolve())));
      const failing = Array.from({ length: 100 }, () => call.race(Promise.reject(new Error('x'))));
      await Promise.allSettled(failing);
      await new Promise((resolve) => setImmediate(resolve));
      process.off('warning', onWarning);
      assert.deepEqual(warnings, []);
      assert.equal(getEventListeners(call.signal, 'abort').length, 0);
    }));
});
