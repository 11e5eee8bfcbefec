import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { objectStoreSuite, racePutsInProcess } from '../../test/conformance/object-store-suite.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { FaultyObjectStore, scriptedFaults } from './faulty-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { MeteredObjectStore } from './metered-object-store.ts';
import { parseObjectKey } from './object-key.ts';
import { RequestLedger } from './request-ledger.ts';

const { clock } = nodePlatform();
const key = parseObjectKey('a/b');

objectStoreSuite('metered memory', {
  open: () => Promise.resolve(new MeteredObjectStore(new MemoryObjectStore(clock))),
  racePuts: racePutsInProcess,
  cleanup: () => Promise.resolve(),
});

describe('MeteredObjectStore', () => {
  it('counts requests by verb, and the bytes of bodies', async () => {
    const store = new MeteredObjectStore(new MemoryObjectStore(clock));
    await store.put(key, [new Uint8Array(60), new Uint8Array(40)]);
    await store.get(key);
    await store.get(key, { range: { offset: 90, length: 50 } });
    await store.get(parseObjectKey('absent'));
    await store.head(key);
    await store.list('a');
    await store.list('a');
    await store.delete(key);
    assert.deepEqual(store.snapshot(), {
      requests: { put: 1, get: 3, head: 1, list: 2, delete: 1 },
      failures: { put: 0, get: 0, head: 0, list: 0, delete: 0 },
      aborted: 0,
      readBytes: 110,
      writtenBytes: 100,
      lastFailure: undefined,
      billed: { write: 3, read: 4, free: 1 },
    });
  });

  it('tells of the bill what a ledger tells', async () => {
    const ledger = new RequestLedger();
    const store = new MeteredObjectStore(new MemoryObjectStore(clock), ledger);
    await store.put(key, []);
    assert.deepEqual(store.snapshot().billed, { write: 0, read: 0, free: 0 });
    ledger.add('write');
    assert.deepEqual(store.snapshot().billed, { write: 1, read: 0, free: 0 });
  });

  it('counts no bytes of a put that stored nothing', async () => {
    const store = new MeteredObjectStore(new MemoryObjectStore(clock));
    const ifAbsent = { condition: { kind: 'if-absent' } } as const;
    await store.put(key, [new Uint8Array(10)], ifAbsent);
    const before = store.snapshot();
    await store.put(key, [new Uint8Array(10)], ifAbsent);
    assert.equal(store.snapshot().writtenBytes, 10);
    assert.equal(before.requests.put, 1, 'a snapshot does not change');
    assert.equal(store.snapshot().requests.put, 2);
  });

  it('counts failures by verb and keeps the last message, and tells aborts apart', async () => {
    const inner = new FaultyObjectStore(
      new MemoryObjectStore(clock),
      scriptedFaults('get', [{ kind: 'fail-before' }]),
    );
    const store = new MeteredObjectStore(inner);
    await rejectsWith('UNAVAILABLE', store.get(key));
    await rejectsWith('ABORTED', store.get(key, { signal: AbortSignal.abort() }));
    const { failures, aborted, requests, lastFailure } = store.snapshot();
    assert.deepEqual({ ...failures }, { put: 0, get: 1, head: 0, list: 0, delete: 0 });
    assert.equal(requests.get, 2);
    assert.equal(aborted, 1);
    assert.equal(lastFailure, 'get of a/b: injected failure');
  });
});
