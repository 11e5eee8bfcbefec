import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { chainOf } from '../test/support/chains.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import { openStore } from './open-store.ts';

// Goal: what was accepted reaches the bucket although the segment that holds it begins with damage.
// Method: a store accepts a chain while its bucket is out of reach and ends; bytes of the segment's
// header are changed, one, a few and all; the next store uploads the chain to a bucket that is back.
test('accepted blocks behind a damaged segment header are uploaded by the next process', async (t) => {
  const directory = await makeTemporaryDirectory('damaged-segment');
  t.after(() => directory.remove());
  const damages: readonly ((bytes: Buffer) => void)[] = [
    (bytes) => (bytes[1] ^= 0xff),
    (bytes) => (bytes[15] ^= 1),
    (bytes) => (bytes[40] ^= 0x80),
    (bytes) => (bytes[63] ^= 4),
    (bytes) => bytes.fill(0, 8, 30),
    (bytes) => bytes.fill(0xa5, 0, 64),
  ];
  for (const [index, damage] of damages.entries()) {
    const chain = chainOf(`pending-${index}`, 5, 3000);
    const objectStore = pathToFileURL(join(directory.path, `objects-${index}`)).href;
    const cacheDirectory = join(directory.path, `cache-${index}`);
    await writeFile(fileURLToPath(objectStore), 'in the way');
    const first = await openStore({ objectStore, cacheDirectory });
    await first.save(chain.blocks);
    await first.close();
    await rm(fileURLToPath(objectStore));
    const place = join(cacheDirectory, 'v1', '0');
    const [name] = (await readdir(place)).filter((file) => file.endsWith('.log'));
    const bytes = await readFile(join(place, name));
    damage(bytes);
    await writeFile(join(place, name), bytes);
    const next = await openStore({ objectStore, cacheDirectory });
    const { damagedRecords, pending } = await next.stats();
    assert.deepEqual([damagedRecords, pending], [1, 5]);
    await next.flush();
    await next.close();
    const other = await openStore({ objectStore, cacheDirectory: false });
    const borrow = await other.load(chain.keys);
    const payloads = borrow.blocks.map(({ payload }) => Buffer.from(payload));
    assert.deepEqual(
      payloads,
      chain.blocks.map(({ payload }) => Buffer.from(payload)),
    );
    borrow.release();
    await other.close();
  }
});
