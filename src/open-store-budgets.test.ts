import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { chainOf } from '../test/support/chains.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import { eventually } from '../test/support/waiting.ts';
import { limits } from './blocks/limits.ts';
import { openStore } from './open-store.ts';

const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('budgets');
after(() => root.remove());

/** Bytes of all files below the directory; what goes away meanwhile counts nothing. */
async function bytesBelow(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const sizes = names.map(async (name) => {
    const status = await stat(join(directory, name)).catch(() => undefined);
    return status?.isFile() === true ? status.size : 0;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function openDescriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

// Goal: under prefixes without end no tier is ever over its budget by more than a segment, and
// neither descriptors nor the queue of uploads grow. Method: eight times the budget of the disk tier
// and four times that of the bucket, saved and loaded; after each save the files are measured.
test('budgets hold while new prefixes come without end', async () => {
  const [memoryBytes, diskBytes, objectStoreBytesMax] = [8 * mib, 16 * mib, 32 * mib];
  const segmentBytes = diskBytes / 8;
  const [objects, cacheDirectory] = [`${root.path}/objects`, `${root.path}/cache`];
  const sizes = { memoryBytes, diskBytes, objectStoreBytesMax };
  const store = await openStore({ objectStore: `file://${objects}`, cacheDirectory, ...sizes });
  const most = { memory: 0, disk: 0, bucket: 0, descriptors: 0, pending: 0 };
  const measure = async (): Promise<void> => {
    const stats = await store.stats();
    const found = {
      memory: stats.memory.bytes,
      disk: await bytesBelow(cacheDirectory),
      bucket: await bytesBelow(objects),
      descriptors: await openDescriptors(),
      pending: stats.pending,
    };
    for (const name of ['memory', 'disk', 'bucket', 'descriptors', 'pending'] as const) {
      most[name] = Math.max(most[name], found[name]);
    }
  };
  const first = await openDescriptors();
  try {
    for (let prefix = 0; prefix < 64; prefix += 1) {
      const { blocks, keys } = chainOf(`endless-${prefix}`, 16, mib / 8);
      await store.save(blocks, { durable: prefix % 2 === 0 });
      (await store.load(keys)).release();
      await measure();
    }
    await store.flush();
    await eventually('the bucket is within its budget', async () => {
      await measure();
      return (await bytesBelow(objects)) <= objectStoreBytesMax;
    });
    const { disk, memory } = await store.stats();
    assert.ok(disk.evictions > 300 && memory.evictions > 300, 'both tiers were full');
  } finally {
    await store.close();
  }
  process.stdout.write(`most: ${JSON.stringify(most)}\n`);
  assert.ok(most.memory <= memoryBytes, `${most.memory} bytes in memory`);
  assert.ok(most.disk <= diskBytes + segmentBytes, `${most.disk} bytes on disk`);
  assert.ok(most.bucket <= objectStoreBytesMax + limits.segmentBytes, `${most.bucket} in bucket`);
  assert.ok(most.descriptors <= first + 64, `${most.descriptors} descriptors, first ${first}`);
  assert.ok(most.pending <= 64, `${most.pending} payloads pending`);
});

test('descriptors do not grow over fifty restarts, nor does what lies on disk', async () => {
  const [objectStore, cacheDirectory] = [`file://${root.path}/often`, `${root.path}/often-cache`];
  const sizes = { memoryBytes: 4 * mib, diskBytes: 4 * mib };
  const counts: number[] = [];
  for (let cycle = 0; cycle < 50; cycle += 1) {
    const store = await openStore({ objectStore, cacheDirectory, ...sizes });
    const { blocks, keys } = chainOf(`restart-${cycle}`, 8, 32 * 1024);
    await store.save(blocks, { durable: true });
    const { blocks: loaded, release } = await store.load(keys);
    assert.equal(loaded.length, 8);
    release();
    await store.close();
    counts.push(await openDescriptors());
    const bytes = await bytesBelow(cacheDirectory);
    assert.ok(bytes <= sizes.diskBytes * 1.125, `${bytes} bytes on disk after ${cycle} cycles`);
  }
  assert.ok(Math.max(...counts) <= counts[1] + 2, `descriptors after each: ${counts.join(' ')}`);
});
