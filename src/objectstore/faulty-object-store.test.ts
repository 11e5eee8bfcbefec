import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { objectStoreSuite, racePutsInProcess } from '../../test/conformance/object-store-suite.ts';
import { deferred } from '../base/deferred.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { FaultyObjectStore, scriptedFaults } from './faulty-object-store.ts';
import type { FaultableCall, ObjectFault } from './faulty-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { parseObjectKey } from './object-key.ts';
import type { ObjectVerb } from './object-store.ts';

const { clock } = nodePlatform();
const key = parseObjectKey('object');

objectStoreSuite('faulty memory without faults', {
  open: () => Promise.resolve(new FaultyObjectStore(new MemoryObjectStore(clock), () => undefined)),
  racePuts: racePutsInProcess,
  cleanup: () => Promise.resolve(),
});

/** A bucket with one object of 100 bytes whose next call of the verb has the fault. */
async function bucketWith(verb: ObjectVerb, fault: ObjectFault): Promise<FaultyObjectStore> {
  const inner = new MemoryObjectStore(clock);
  await inner.put(key, [new Uint8Array(100).fill(1)]);
  return new FaultyObjectStore(inner, scriptedFaults(verb, [fault]));
}

/** Positions at which the bytes are not those of the object. */
function damagedAt(bytes: Uint8Array | undefined): number[] {
  return [...(bytes ?? [])].flatMap((byte, at) => (byte === 1 ? [] : [at]));
}

describe('FaultyObjectStore', () => {
  it('fails before: the bucket has not heard of the call', async () => {
    const store = await bucketWith('delete', { kind: 'fail-before' });
    await rejectsWith('UNAVAILABLE', store.delete(key));
    assert.ok((await store.head(key)) !== undefined);
    assert.equal(store.counts['fail-before'], 1);
  });

  it('fails after: the call was done and its reply lost', async () => {
    const store = await bucketWith('put', { kind: 'fail-after' });
    const other = parseObjectKey('other');
    await rejectsWith('UNAVAILABLE', store.put(other, [new Uint8Array(7)]));
    assert.equal((await store.head(other))?.byteLength, 7);
    assert.equal(store.counts['fail-after'], 1);
  });

  it('hangs until the signal fires', async () => {
    const store = await bucketWith('get', { kind: 'hang' });
    const controller = new AbortController();
    const hanging = store.get(key, { signal: controller.signal });
    await store.head(key);
    controller.abort();
    await rejectsWith('ABORTED', hanging);
    assert.equal(store.counts.hang, 1);
  });

  it('hangs until it is closed', async () => {
    const store = await bucketWith('list', { kind: 'hang' });
    const hanging = rejectsWith('CLOSED', store.list(''));
    await store.head(key);
    await store.close();
    await hanging;
  });

  it('delays as long as the fault waits', async () => {
    const turn = deferred<void>();
    const store = await bucketWith('get', { kind: 'delay', wait: () => turn.promise });
    let isDone = false;
    const delayed = store.get(key).then((body) => {
      isDone = true;
      return body;
    });
    await store.head(key);
    assert.equal(isDone, false);
    turn.resolve();
    assert.deepEqual(damagedAt((await delayed)?.bytes), []);
    assert.equal(store.counts.delay, 1);
  });

  it('flips one bit of what get gives, in the memory of the caller', async () => {
    const store = await bucketWith('get', { kind: 'corrupt', at: 0.4201 });
    const memory = new Uint8Array(100);
    assert.deepEqual(damagedAt((await store.get(key, { allocate: () => memory }))?.bytes), [42]);
    assert.deepEqual(damagedAt(memory), [42]);
    assert.deepEqual(damagedAt((await store.get(key))?.bytes), []);
    assert.equal(store.counts.corrupt, 1);
  });

  it('flips one bit of what put stores, and none of the caller’s', async () => {
    const store = await bucketWith('put', { kind: 'corrupt', at: 0.999 });
    const body = new Uint8Array(100).fill(1);
    await store.put(key, [body.subarray(0, 50), body.subarray(50)]);
    assert.deepEqual(damagedAt((await store.get(key))?.bytes), [99]);
    assert.deepEqual(damagedAt(body), []);
  });

  it('gives and stores bodies that end early', async () => {
    const store = await bucketWith('get', { kind: 'truncate', at: 0.3 });
    const sizes: number[] = [];
    const allocate = (size: number): Uint8Array => {
      sizes.push(size);
      return new Uint8Array(size);
    };
    const body = await store.get(key, { allocate, range: { offset: 10, length: 50 } });
    assert.equal(body?.bytes.length, 20);
    assert.equal(body.info.byteLength, 30);
    assert.deepEqual(sizes, [20]);
    const storing = await bucketWith('put', { kind: 'truncate', at: 0.5 });
    await storing.put(key, [new Uint8Array(9)]);
    assert.equal((await storing.head(key))?.byteLength, 4);
    assert.equal(store.counts.truncate + storing.counts.truncate, 2);
  });

  it('claims absent what is there', async () => {
    assert.equal(await (await bucketWith('get', { kind: 'absent', at: 0 })).get(key), undefined);
    assert.equal(await (await bucketWith('head', { kind: 'absent', at: 0 })).head(key), undefined);
    const store = await bucketWith('list', { kind: 'absent', at: 0.5 });
    for (const name of ['p', 'q', 'r']) await store.put(parseObjectKey(name), []);
    const stale = await store.list('');
    assert.deepEqual(
      stale.objects.map((info) => info.key),
      ['object', 'p'],
    );
    assert.equal((await store.list('')).objects.length, 4);
    assert.equal(store.counts.absent, 1);
  });

  it('does not count what had no effect', async () => {
    const store = await bucketWith('get', { kind: 'corrupt', at: 0 });
    assert.equal(await store.get(parseObjectKey('other')), undefined);
    const heading = await bucketWith('head', { kind: 'truncate', at: 0 });
    assert.equal((await heading.head(key))?.byteLength, 100);
    for (const count of Object.values({ ...store.counts, ...heading.counts })) {
      assert.equal(count, 0);
    }
  });

  it('tells its picker verb, key and number of every call', async () => {
    const seen: FaultableCall[] = [];
    const store = new FaultyObjectStore(new MemoryObjectStore(clock), (call) => {
      seen.push(call);
      return undefined;
    });
    await store.put(key, []);
    await store.list('prefix');
    assert.deepEqual(seen, [
      { verb: 'put', key: 'object', index: 0 },
      { verb: 'list', key: 'prefix', index: 1 },
    ]);
  });
});
