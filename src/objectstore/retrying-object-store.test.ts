import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf, inTime, rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { objectStoreSuite, racePutsInProcess } from '../../test/conformance/object-store-suite.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { openedS3 } from '../../test/support/s3-server/opened-s3.ts';
import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { FaultyObjectStore, scriptedFaults } from './faulty-object-store.ts';
import type { FaultPicker } from './faulty-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { parseObjectKey } from './object-key.ts';
import { objectLimits } from './object-limits.ts';
import type { ObjectInfo, ObjectStore } from './object-store.ts';
import { Refusal } from './refusal.ts';
import { RetryingObjectStore } from './retrying-object-store.ts';
import type { RetryPolicy } from './retrying-object-store.ts';

const platform = nodePlatform();
const { clock } = platform;
const key = parseObjectKey('a');
const half = { fraction: () => 0.5, hex: () => '' };

/** Waits that a test need not sit through. */
const quick: RetryPolicy = {
  ...objectLimits.retry,
  backoff: { firstMs: 2, mostMs: 4 },
  throttledBackoff: { firstMs: 4, mostMs: 8 },
};

// Rare enough for the budget, and with more attempts than may meet the same fault by chance.
objectStoreSuite('retrying over a store of which every 13th call fails', {
  open: () => {
    let calls = 0;
    const pick: FaultPicker = () => {
      calls += 1;
      return calls % 13 === 0 ? { kind: 'fail-before' } : undefined;
    };
    const faulty = new FaultyObjectStore(new MemoryObjectStore(clock), pick);
    return Promise.resolve(
      new RetryingObjectStore(faulty, platform, { ...quick, attemptsMax: 12 }),
    );
  },
  racePuts: racePutsInProcess,
  cleanup: () => Promise.resolve(),
});

/** A store whose heads reject with the errors, one after another, and then find nothing. */
function refusing(errors: readonly unknown[]): {
  readonly store: ObjectStore;
  asked: () => number;
} {
  const inner = new MemoryObjectStore(clock);
  let asked = 0;
  const head = (): Promise<ObjectInfo | undefined> => {
    asked += 1;
    const error = errors[asked - 1];
    return error === undefined ? Promise.resolve(undefined) : Promise.reject(error as Error);
  };
  const store = Object.assign(Object.create(inner) as ObjectStore, {
    head,
    close: () => inner.close(),
  });
  return { store, asked: () => asked };
}

function refusal(kind: Refusal['kind'], retryAfterMs?: number): StoreError {
  const cause = new Refusal(kind, kind, retryAfterMs);
  return new StoreError('UNAVAILABLE', kind, { cause });
}

/** Lets everything run that waits for no timer. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await clock.yield();
}

describe('RetryingObjectStore', () => {
  it('repeats what may pass, and says how often', async () => {
    const { store, asked } = refusing([refusal('transient'), new StoreError('UNAVAILABLE', 'x')]);
    const retrying = new RetryingObjectStore(store, platform, quick);
    assert.equal(await retrying.head(key), undefined);
    assert.equal(asked(), 3);
    assert.deepEqual(retrying.counts, {
      retries: { throttled: 0, transient: 2 },
      exhausted: 0,
      overBudget: 0,
    });
  });

  it('repeats neither a final refusal, nor an argument that is wrong, nor a bug', async () => {
    for (const error of [
      refusal('final'),
      new StoreError('INVALID', 'x'),
      new StoreError('TOO_LARGE', 'x'),
      new RangeError('a bug'),
    ]) {
      const { store, asked } = refusing([error]);
      const retrying = new RetryingObjectStore(store, platform, quick);
      await assert.rejects(retrying.head(key), (thrown) => thrown === error);
      assert.equal(asked(), 1);
    }
  });

  it('takes an absent object for an answer', async () => {
    const { store, asked } = refusing([]);
    assert.equal(await new RetryingObjectStore(store, platform, quick).head(key), undefined);
    assert.equal(asked(), 1);
  });

  it('gives up after so many attempts, with the last reason', async () => {
    const { store, asked } = refusing(Array.from({ length: 9 }, () => refusal('transient')));
    const retrying = new RetryingObjectStore(store, platform, quick);
    await assert.rejects(retrying.head(key), /head of a failed 4 times; at last: transient/);
    assert.equal(asked(), 4);
    assert.equal(retrying.counts.exhausted, 1);
  });

  it('waits longer each time, longer still when throttled, and as long as the server asks', async () => {
    const cases: readonly (readonly [StoreError, readonly number[]])[] = [
      [refusal('transient'), [37.5, 75, 150]],
      [refusal('throttled'), [300, 600, 1200]],
      [refusal('throttled', 5000), [5000, 5000, 5000]],
    ];
    for (const [error, waits] of cases) {
      const manual = new ManualClock();
      const { store, asked } = refusing([error, error, error]);
      const retrying = new RetryingObjectStore(store, { clock: manual, random: half });
      const call = retrying.head(key);
      for (const [index, ms] of waits.entries()) {
        await settle();
        assert.equal(asked(), index + 1);
        manual.advance(ms - 1);
        await settle();
        assert.equal(asked(), index + 1, `before ${ms} ms`);
        manual.advance(1);
      }
      assert.equal(await call, undefined);
    }
  });

  it('does not wait for a moment that lies behind the deadline of the call', async () => {
    const { store, asked } = refusing([refusal('throttled', 3_600_000)]);
    const retrying = new RetryingObjectStore(store, platform);
    await inTime(5000, 'head', rejectsWith('UNAVAILABLE', retrying.head(key)));
    assert.equal(asked(), 1);
  });

  it('ends an attempt that takes too long, and makes another', async () => {
    const inner = new FaultyObjectStore(
      new MemoryObjectStore(clock),
      scriptedFaults('put', [{ kind: 'hang' }, { kind: 'hang' }]),
    );
    const retrying = new RetryingObjectStore(inner, platform, { ...quick, attemptMs: 40 });
    const put = retrying.put(key, [bytesOf('x')]);
    assert.equal((await inTime(5000, 'put', put)).outcome, 'stored');
    assert.equal(retrying.counts.retries.transient, 2);
  });

  it('obeys the signal of the caller in an attempt and between two', async () => {
    const hanging = new FaultyObjectStore(
      new MemoryObjectStore(clock),
      scriptedFaults('head', [{ kind: 'hang' }]),
    );
    const slow = { ...quick, backoff: { firstMs: 60_000, mostMs: 60_000 }, callMs: 600_000 };
    for (const inner of [hanging, refusing([refusal('transient')]).store]) {
      const retrying = new RetryingObjectStore(inner, platform, slow);
      const call = retrying.head(key, { signal: AbortSignal.timeout(30) });
      await inTime(5000, 'head', rejectsWith('ABORTED', call));
    }
  });

  it('close ends a call that waits for its next attempt', async () => {
    const slow = { ...quick, backoff: { firstMs: 60_000, mostMs: 60_000 }, callMs: 600_000 };
    const { store } = refusing([refusal('transient')]);
    const retrying = new RetryingObjectStore(store, platform, slow);
    const ended = rejectsWith('CLOSED', retrying.head(key));
    await settle();
    await inTime(5000, 'close', retrying.close());
    await ended;
  });

  it('makes few retries when most calls fail', async () => {
    const errors = Array.from({ length: 2000 }, () => refusal('transient'));
    const { store, asked } = refusing(errors);
    const instant: Clock = { ...clock, sleep: () => Promise.resolve() };
    const retrying = new RetryingObjectStore(store, { clock: instant, random: half });
    for (let call = 0; call < 200; call += 1) {
      await rejectsWith('UNAVAILABLE', retrying.head(key));
    }
    assert.equal(asked() - 200, objectLimits.retryBudget.most);
    // The first 33 calls have their three retries each, the next one has one.
    assert.equal(retrying.counts.overBudget, 200 - 33);
  });

  it('uses the memory of the first attempt for the next, and asks for it once', async () => {
    const inner = new MemoryObjectStore(clock);
    await inner.put(key, [bytesOf('bytes')]);
    const faulty = new FaultyObjectStore(
      inner,
      scriptedFaults('get', [{ kind: 'fail-after' }, { kind: 'fail-after' }]),
    );
    const retrying = new RetryingObjectStore(faulty, platform, quick);
    const given: Uint8Array[] = [];
    const allocate = (byteLength: number): Uint8Array => {
      given.push(new Uint8Array(byteLength));
      return given[0] ?? new Uint8Array(0);
    };
    const body = await retrying.get(key, { allocate });
    assert.equal(given.length, 1);
    assert.equal(body?.bytes, given[0]);
    assert.deepEqual(body?.bytes, bytesOf('bytes'));
  });

  it('fails when the object has another length in the next attempt', async () => {
    const inner = new MemoryObjectStore(clock);
    await inner.put(key, [bytesOf('bytes')]);
    const wait = async (): Promise<void> => {
      await inner.put(key, [bytesOf('others')]);
    };
    const faulty = new FaultyObjectStore(
      inner,
      scriptedFaults('get', [{ kind: 'fail-after' }, { kind: 'delay', wait }]),
    );
    const retrying = new RetryingObjectStore(faulty, platform, quick);
    await assert.rejects(retrying.get(key), /6 bytes, and 5 before: it changed/);
  });

  it('does not repeat what the caller refused, whatever it threw', async () => {
    const inner = new MemoryObjectStore(clock);
    await inner.put(key, [bytesOf('bytes')]);
    const retrying = new RetryingObjectStore(inner, platform, quick);
    const error = new StoreError('UNAVAILABLE', 'no room');
    let asked = 0;
    const allocate = (): never => {
      asked += 1;
      throw error;
    };
    await assert.rejects(retrying.get(key, { allocate }), (thrown) => thrown === error);
    assert.equal(asked, 1);
  });

  it('gets through what a bad S3 server does', async () => {
    const { server, store, close } = await openedS3();
    const retrying = new RetryingObjectStore(store, platform, quick);
    const body = Buffer.alloc(200_000, 'b');
    const kinds = ['reset', 'lose-reply', 'garble', 'break-body', 'end-body', 'refuse'] as const;
    const counts = kinds.map(() => 0);
    server.faults = ({ index }) => {
      // Every fourth request goes wrong, in every way in turn: as many as the budget bears.
      if (index % 4 !== 0) return undefined;
      const turn = (index / 4) % kinds.length;
      const kind = kinds[turn] ?? 'reset';
      counts[turn] = (counts[turn] ?? 0) + 1;
      if (kind === 'refuse') return { kind, status: 503, code: 'SlowDown' };
      return { kind, at: 0.5 };
    };
    try {
      for (let round = 0; round < 60; round += 1) {
        const name = parseObjectKey(`round/${round}`);
        await retrying.put(name, [body]);
        assert.ok(body.equals((await retrying.get(name))?.bytes ?? new Uint8Array(0)));
        assert.equal((await retrying.head(name))?.byteLength, body.length);
        assert.equal((await retrying.list(name)).objects.length, 1);
        await retrying.delete(name);
      }
      assert.ok(
        counts.every((count) => count >= 15),
        counts.join(' '),
      );
    } finally {
      await close();
    }
  });
});
