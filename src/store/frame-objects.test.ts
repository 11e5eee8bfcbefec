import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { factsOf, tenant } from '../../test/support/cached-payloads.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { LocalCache } from '../cache/local-cache.ts';
import { EntryIndex } from '../cache/entry-index.ts';
import { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import type { PutResult } from '../objectstore/object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { FrameObjects } from './frame-objects.ts';

const { clock } = nodePlatform();

/** Objects whose puts end as the promise does, and how often what was encoded has been released. */
function rig(putting: Promise<PutResult>): { objects: FrameObjects; released: () => number } {
  let released = 0;
  const bucket = new MemoryObjectStore(clock);
  const index = new EntryIndex();
  const memory = new SlabMemoryTier(1024 * 1024);
  const objects = new FrameObjects({
    objects: Object.assign(Object.create(bucket), { put: () => putting }),
    keyPrefix: 'kv',
    transcoder: {
      ...rawTranscoder,
      encode: async (task) => ({
        ...(await rawTranscoder.encode(task)),
        stored: task.payload.slice(),
        release: () => {
          released += 1;
        },
      }),
    },
    cache: new LocalCache({ memory, index, disk: undefined, clock }),
    compression: { compress: true, level: 1 },
  });
  return { objects, released: () => released };
}

describe('FrameObjects', () => {
  const payload = randomPayload('frame', 1000);
  const stored = {
    facts: { ...factsOf('frame', payload), namespace: tenant },
    payload,
    following: [],
  };
  const options = { condition: undefined, signal: new AbortController().signal };

  it('releases the memory of what was encoded when the put has ended, and not before', async () => {
    const put = deferred<PutResult>();
    const { objects, released } = rig(put.promise);
    const putting = objects.put(stored, options);
    await clock.yield();
    assert.equal(released(), 0);
    put.resolve({ outcome: 'stored' });
    assert.deepEqual(await putting, { outcome: 'stored' });
    assert.equal(released(), 1);
  });

  it('releases it when the put fails', async () => {
    const { objects, released } = rig(Promise.reject(new StoreError('UNAVAILABLE', 'away')));
    await assert.rejects(objects.put(stored, options), (error) =>
      isStoreError(error, 'UNAVAILABLE'),
    );
    assert.equal(released(), 1);
  });
});
