import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RestingClock } from '../../test/support/resting-clock.ts';
import { limits } from '../blocks/limits.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { BucketSpace } from './bucket-space.ts';

const mib = 1024 * 1024;
const budgetBytes = 20 * 1024 * mib;
/** What a process claims at first: a quarter of a segment. */
const firstClaimBytes = limits.segmentBytes / 4;
const keyPrefix = 'kv/test';
const clock = new RestingClock();
const platform = { ...nodePlatform(), clock };

interface Host {
  readonly space: BucketSpace;
  /** Writes as a store does: claims when what was claimed is used up. */
  readonly write: (name: string, bytes: number) => Promise<void>;
}

function hostOn(bucket: MemoryObjectStore): Host {
  const objects = new MeteredObjectStore(bucket);
  let wantedBytes = 0;
  const space = new BucketSpace({
    ...{ platform, keyPrefix, objects, budgetBytes },
    request: (send) => send(new AbortController().signal),
    onFailure: (error) => assert.fail(error),
    writers: () => ({ wantedBytes, reservedBytes: 0 }),
  });
  const write = async (name: string, bytes: number): Promise<void> => {
    wantedBytes = bytes;
    if (!space.isAllClaimed) await space.claim();
    await objects.put(parseObjectKey(`${keyPrefix}/${name}`), [new Uint8Array(bytes)]);
    wantedBytes = 0;
  };
  return { space, write };
}

test('a process that dies leaves no claim of more than twice what it had claimed and used', async () => {
  const bucket = new MemoryObjectStore(clock);
  const [deaths, writes] = [4, 2];
  for (let death = 0; death < deaths; death += 1) {
    const dying = hostOn(bucket);
    // The second needs another claim, which is made with the bucket listed.
    for (let at = 0; at < writes; at += 1) {
      await dying.write(`${death}-${at}`, firstClaimBytes * 0.75);
    }
  }
  const living = hostOn(bucket);
  await living.space.claim();
  const keptBytes = living.space.usedBytes + budgetBytes - living.space.besideClaimsBytes;
  const usedBytes = deaths * writes * firstClaimBytes * 0.75;
  assert.ok(keptBytes <= usedBytes + (deaths * 3 + 1) * firstClaimBytes, `${keptBytes / mib} MiB`);
});

test('a process that goes on claims more each time, up to a 32nd of the budget', async () => {
  const host = hostOn(new MemoryObjectStore(clock));
  const claimed: number[] = [];
  for (let at = 0; at < 4; at += 1) {
    await host.space.claim();
    // The mark of the first claim was written, too.
    claimed.push(Math.round(host.space.writableBytes / firstClaimBytes));
  }
  assert.deepEqual(claimed, [1, 2, 4, 8]);
  for (let at = 0; at < 8; at += 1) await host.space.claim();
  assert.equal(host.space.writableBytes, budgetBytes / 32);
});
