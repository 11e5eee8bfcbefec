import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { isStoreError } from '../base/errors.ts';
import { LimitedObjectStore } from './limited-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { parseObjectKey } from './object-key.ts';

const key = parseObjectKey('kv/object');
const long = parseObjectKey('kv/long');

describe('the bandwidth of LimitedObjectStore', () => {
  let clock: ManualClock;
  let store: LimitedObjectStore;
  /** What has ended, in its order. */
  let ended: string[];

  beforeEach(async () => {
    clock = new ManualClock();
    const inner = new MemoryObjectStore(clock);
    await inner.put(key, [new Uint8Array(1000)]);
    await inner.put(long, [new Uint8Array(100_000)]);
    const rates = { writeBytesPerSecond: 1000, readBytesPerSecond: 1000 };
    store = new LimitedObjectStore(inner, clock, { callsMax: 8, waitingMax: 8, ...rates });
    ended = [];
  });

  const note = async (what: string, call: Promise<unknown>): Promise<void> => {
    await call.catch((error: unknown) => assert.ok(isStoreError(error, 'ABORTED')));
    ended.push(what);
  };

  /** Lets everything run that does not wait for the clock. */
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn += 1) await clock.yield();
  };

  const passed = async (ms: number): Promise<readonly string[]> => {
    clock.advance(ms);
    await settle();
    return ended.splice(0);
  };

  it('gets that wait go one by one, as far apart as the last body was long', async () => {
    await store.get(key);
    for (const name of ['a', 'b', 'c']) void note(name, store.get(key));
    assert.deepEqual(await passed(999), []);
    assert.deepEqual(await passed(1), ['a']);
    assert.deepEqual(await passed(999), []);
    assert.deepEqual(await passed(1), ['b']);
    assert.deepEqual(await passed(1000), ['c']);
  });

  it('what a body is longer than the last is waited for behind it', async () => {
    await store.get(key);
    void note('long', store.get(long));
    assert.deepEqual(await passed(1000), ['long']);
    void note('next', store.get(key));
    assert.deepEqual(await passed(99_999), []);
    assert.deepEqual(await passed(1), ['next']);
  });

  it('an absent object takes nothing', async () => {
    await store.get(key);
    void note('absent', store.get(parseObjectKey('kv/absent')));
    assert.deepEqual(await passed(1000), ['absent']);
    void note('next', store.get(key));
    assert.deepEqual(await passed(0), ['next']);
  });

  it('short ranges do not wait, and those behind them wait for them', async () => {
    await store.get(key);
    void note('header', store.get(long, { range: { offset: 0, length: 4096 } }));
    assert.deepEqual(await passed(0), ['header']);
    void note('next', store.get(key));
    assert.deepEqual(await passed(5095), []);
    assert.deepEqual(await passed(1), ['next']);
  });

  it('who gives up while it waits has not used its turn, however often', async () => {
    await store.put(key, [new Uint8Array(1000)]);
    for (let round = 0; round < 100; round += 1) {
      const giving = new AbortController();
      void note('gave up', store.put(key, [new Uint8Array(100_000)], { signal: giving.signal }));
      await settle();
      giving.abort();
      assert.deepEqual(await passed(1), ['gave up']);
    }
    void note('next', store.put(key, [new Uint8Array(1)]));
    assert.deepEqual(await passed(899), []);
    assert.deepEqual(await passed(1), ['next']);
  });

  it('reads and writes have a bound each', async () => {
    await store.put(key, [new Uint8Array(5000)]);
    void note('get', store.get(key));
    assert.deepEqual(await passed(0), ['get']);
  });
});
