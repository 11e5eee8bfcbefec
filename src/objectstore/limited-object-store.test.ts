import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf, inTime, rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { objectStoreSuite, racePutsInProcess } from '../../test/conformance/object-store-suite.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { FaultyObjectStore } from './faulty-object-store.ts';
import { LimitedObjectStore } from './limited-object-store.ts';
import type { ObjectStoreLimits } from './limited-object-store.ts';
import { eventually } from '../../test/support/waiting.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { parseObjectKey } from './object-key.ts';

const { clock } = nodePlatform();
const key = parseObjectKey('a');

objectStoreSuite('limited memory, one call at a time', {
  open: () =>
    Promise.resolve(
      new LimitedObjectStore(new MemoryObjectStore(clock), clock, {
        ...{ callsMax: 1, waitingMax: 1000 },
        ...{ readBytesPerSecond: 2 ** 40, writeBytesPerSecond: 2 ** 40 },
      }),
    ),
  racePuts: racePutsInProcess,
  cleanup: () => Promise.resolve(),
});

/** A limited store whose calls below are let go by the test, and how many there are. */
function held(limits: Partial<ObjectStoreLimits>): {
  readonly store: LimitedObjectStore;
  readonly running: () => number;
  readonly letGo: () => void;
} {
  const waits: (() => void)[] = [];
  const wait = (): Promise<void> => new Promise((resolve) => waits.push(resolve));
  const inner = new FaultyObjectStore(new MemoryObjectStore(clock), () => ({
    kind: 'delay',
    wait,
  }));
  const store = new LimitedObjectStore(inner, clock, { callsMax: 2, waitingMax: 3, ...limits });
  return { store, running: () => waits.length, letGo: () => waits.shift()?.() };
}

describe('LimitedObjectStore', () => {
  it('lets so many calls through, and the others in order of arrival', async () => {
    const { store, running, letGo } = held({});
    const ended: number[] = [];
    const calls = [0, 1, 2, 3, 4].map(async (index) => {
      await store.head(key);
      ended.push(index);
    });
    await clock.yield();
    assert.equal(running(), 2);
    assert.equal(store.waiting, 3);
    for (const left of [2, 2, 2, 1, 0]) {
      letGo();
      await eventually(`${left} are running`, async () => running() === left);
    }
    await Promise.all(calls);
    assert.deepEqual(ended, [0, 1, 2, 3, 4]);
  });

  it('refuses a call when too many wait, and takes calls again later', async () => {
    const { store, letGo } = held({ callsMax: 1, waitingMax: 1 });
    const calls = [store.head(key), store.head(key)];
    await rejectsWith('UNAVAILABLE', store.head(key));
    letGo();
    await clock.sleep(5);
    letGo();
    await Promise.all(calls);
    const later = store.head(key);
    await clock.sleep(5);
    letGo();
    assert.equal(await later, undefined);
  });

  it('a call that gives up while it waits leaves the line, and its place to nobody', async () => {
    const { store, running, letGo } = held({ callsMax: 1 });
    const first = store.head(key);
    const controller = new AbortController();
    const second = store.head(key, { signal: controller.signal });
    const third = store.head(key);
    controller.abort();
    await inTime(5000, 'second', rejectsWith('ABORTED', second));
    assert.equal(store.waiting, 1);
    letGo();
    await first;
    await clock.sleep(5);
    assert.equal(running(), 1);
    letGo();
    await third;
  });

  it('close ends the calls that wait', async () => {
    const { store, letGo } = held({ callsMax: 1 });
    const first = store.head(key).catch(() => undefined);
    const second = rejectsWith('CLOSED', store.head(key));
    await clock.yield();
    const closed = store.close();
    await second;
    letGo();
    await inTime(5000, 'close', Promise.all([first, closed]));
  });

  it('spreads the bytes of bodies over time', async () => {
    const manual = new ManualClock();
    const store = new LimitedObjectStore(new MemoryObjectStore(clock), manual, {
      ...{ callsMax: 8, waitingMax: 8 },
      ...{ writeBytesPerSecond: 1000, readBytesPerSecond: 1000 },
    });
    let done = 0;
    const count = (): void => void (done += 1);
    const settle = async (): Promise<void> => {
      for (let turn = 0; turn < 10; turn += 1) await clock.yield();
    };
    for (let index = 0; index < 3; index += 1) {
      void store.put(key, [bytesOf('x'.repeat(500))]).then(count);
    }
    await settle();
    assert.equal(done, 1, 'the first passes at once');
    manual.advance(499);
    await settle();
    assert.equal(done, 1);
    manual.advance(1);
    await settle();
    assert.equal(done, 2);
    manual.advance(500);
    await settle();
    assert.equal(done, 3);
    for (let index = 0; index < 2; index += 1) {
      await store.get(key).then(count);
      if (index === 0) manual.advance(500);
    }
    assert.equal(done, 5);
    void store.get(key).then(count);
    await settle();
    assert.equal(done, 5, 'those behind a body wait for it');
    manual.advance(500);
    await settle();
    assert.equal(done, 6);
  });
});
