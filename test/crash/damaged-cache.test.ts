import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { chainOf } from '../support/chains.ts';
import { patience } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('damaged-cache');
after(() => root.remove());

const payloadBytes = 64 * 1024;
const chain = chainOf('damaged', 6, payloadBytes);

function configOf(name: string): StoreConfig {
  return {
    objectStore: `file://${root.path}/${name}/objects`,
    cacheDirectory: `${root.path}/${name}/cache`,
    memoryBytes: 8 * mib,
    diskBytes: 64 * mib,
    compression: 'off',
    ...patience,
  };
}

/** Flips a bit in the middle of each of these payloads in the log. */
async function damage(name: string, indexes: readonly number[]): Promise<void> {
  const directory = `${root.path}/${name}/cache/v1/0`;
  const segments = (await readdir(directory)).filter((file) => file.startsWith('segment-'));
  let damaged = 0;
  for (const segment of segments) {
    const path = `${directory}/${segment}`;
    const bytes = await readFile(path);
    const found = indexes
      .map((index) => bytes.indexOf(chain.blocks[index].payload.subarray(0, 64)))
      .filter((at) => at >= 0);
    for (const at of found) bytes[at + payloadBytes / 2] ^= 4;
    damaged += found.length;
    await writeFile(path, bytes);
  }
  assert.equal(damaged, indexes.length);
}

async function assertLoads(store: KvStore, count: number): Promise<void> {
  const borrow = await store.load(chain.keys.slice(0, count));
  assert.equal(borrow.blocks.length, count);
  for (const [index, { payload }] of borrow.blocks.entries()) {
    assert.deepEqual(new Uint8Array(payload), chain.blocks[index].payload);
  }
  borrow.release();
}

describe('a cache directory whose bytes were altered between two processes', () => {
  it('is mended from the bucket: nothing of it is returned, and each is counted once', async () => {
    const config = configOf('durable');
    const store = await openStore(config);
    await store.save(chain.blocks, { durable: true });
    await store.close();
    await damage('durable', [1, 4]);
    const next = await openStore(config);
    await assertLoads(next, 6);
    const { corrupt, disk, object } = await next.stats();
    assert.deepEqual([corrupt, disk.hits, object.hits], [2, 4, 2]);
    await next.close();
  });

  it('tells the truth of what it lost that was not in the bucket yet', async () => {
    const config = configOf('pending');
    // The bucket cannot be written: a file stands in its place.
    await mkdir(`${root.path}/pending`);
    await writeFile(`${root.path}/pending/objects`, '');
    const store = await openStore(config);
    await store.save(chain.blocks);
    await store.close();
    await damage('pending', [2]);
    const next = await openStore(config);
    const borrow = await next.load(chain.keys);
    assert.equal(borrow.blocks.length, 2);
    borrow.release();
    assert.equal((await next.lookup(chain.keys)).matched, 2);
    assert.deepEqual(await next.contains(chain.keys), [true, true, false, true, true, true]);
    // What was lost can be saved again.
    assert.deepEqual(await next.save(chain.blocks), {
      ...{ saved: 1, known: 5, savedBytes: payloadBytes },
    });
    await assertLoads(next, 6);
    assert.equal((await next.stats()).corrupt, 1);
    await next.close();
  });
});
