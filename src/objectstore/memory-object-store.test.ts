import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { objectStoreSuite, racePutsInProcess } from '../../test/conformance/object-store-suite.ts';
import { rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { parseObjectKey } from './object-key.ts';

const { clock } = nodePlatform();

objectStoreSuite('memory', {
  open: () => Promise.resolve(new MemoryObjectStore(clock)),
  // The bucket lives in one process, and so do the contenders for it.
  racePuts: racePutsInProcess,
  cleanup: () => Promise.resolve(),
});

describe('MemoryObjectStore', () => {
  it('is UNAVAILABLE when full, and takes puts again after a delete', async () => {
    const store = new MemoryObjectStore(clock, { byteLengthMax: 1000 });
    const [a, b] = [parseObjectKey('a'), parseObjectKey('b')];
    await store.put(a, [new Uint8Array(900)]);
    assert.equal(store.byteLength, 901);
    await rejectsWith('UNAVAILABLE', store.put(b, [new Uint8Array(99)]));
    assert.equal(await store.head(b), undefined);
    await store.put(b, [new Uint8Array(98)]);
    await store.put(a, [new Uint8Array(800)]);
    await store.delete(a);
    assert.equal(store.byteLength, 99);
    await store.put(a, [new Uint8Array(900)]);
    assert.equal(store.byteLength, 1000);
  });

  it('counts an object that is found present or changed as nothing', async () => {
    const store = new MemoryObjectStore(clock, { byteLengthMax: 100 });
    const key = parseObjectKey('a');
    await store.put(key, [new Uint8Array(60)]);
    const large = [new Uint8Array(1000)];
    const present = await store.put(key, large, { condition: { kind: 'if-absent' } });
    assert.equal(present.outcome, 'present');
    const changed = await store.put(key, large, { condition: { kind: 'if-match', etag: 'x' } });
    assert.equal(changed.outcome, 'changed');
    assert.equal(store.byteLength, 61);
  });
});
