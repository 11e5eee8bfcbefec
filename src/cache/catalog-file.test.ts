import assert from 'node:assert/strict';
import { readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { crc32c } from '../base/crc32c.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { CatalogSnapshot } from '../format/catalog-snapshot.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import {
  catalogPath,
  checkCatalogFile,
  readCatalogFile,
  writeCatalogFile,
} from './catalog-file.ts';
import type { CatalogPlace } from './catalog-file.ts';

const storeDigest = new Uint8Array(32).fill(7);
const mib = 1024 * 1024;
const snapshot: CatalogSnapshot = {
  mix: Int32Array.of(1, -2, 3, -4, 5, -6, 7, -8),
  shards: [words(64, 1), words(128, 2), words(64, 3)],
  owners: [
    { number: 1, kind: 'block', namespace: parseNamespace('team') },
    { number: 9, kind: 'raw-tail', namespace: parseNamespace('größer') },
  ],
};

describe('catalog file', () => {
  let temporary: TemporaryDirectory;
  let place: CatalogPlace;
  let path: string;

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('catalog-file');
    place = { files: nodePlatform().files, directory: temporary.path, storeDigest };
    path = catalogPath(temporary.path);
  });
  afterEach(() => temporary.remove());

  it('gives back what was written', async () => {
    assert.equal(await readCatalogFile(place), 'absent');
    const byteLength = await writeCatalogFile(place, snapshot, mib);
    const { size, mode } = await stat(path);
    assert.deepEqual([size, mode & 0o777], [byteLength, 0o600]);
    assert.deepEqual(await readCatalogFile(place), snapshot);
    assert.equal(await checkCatalogFile(place), byteLength);
  });

  it('has the bytes that docs/FORMAT.md draws', async () => {
    await writeCatalogFile(place, { ...snapshot, shards: [words(64, 1)] }, mib);
    const name = Buffer.from('größer');
    const head = Buffer.concat([
      Buffer.from('WKVC'),
      numbers(1, 92 + 6 + 4 + 6 + name.length + 4, 0x01020304),
      storeDigest,
      numbers(1, -2, 3, -4, 5, -6, 7, -8, 1, 2, 64),
      numbers(1),
      Buffer.from([0, 4]),
      Buffer.from('team'),
      numbers(9),
      Buffer.from([2, name.length]),
      name,
    ]);
    const headCrc = crc32c(head);
    const shard = numbers(...words(64, 1));
    const shardCrc = crc32c(Buffer.concat([numbers(headCrc, 0), shard]));
    const expected = Buffer.concat([head, numbers(headCrc), shard, numbers(shardCrc)]);
    assert.deepEqual(await readFile(path), expected);
  });

  it('believes nothing of a file of which any byte was changed', async () => {
    await writeCatalogFile(place, snapshot, mib);
    const bytes = await readFile(path);
    for (let at = 0; at < bytes.length; at += 1) {
      bytes[at] ^= 0x10;
      await writeFile(path, bytes);
      bytes[at] ^= 0x10;
      assert.equal(await readCatalogFile(place), 'damaged', `byte ${at}`);
    }
  });

  it('believes nothing of one that ends early or goes on', async () => {
    const byteLength = await writeCatalogFile(place, snapshot, mib);
    await writeFile(path, '\0', { flag: 'a' });
    assert.equal(await readCatalogFile(place), 'damaged');
    for (const length of [byteLength - 1, byteLength - 300, 150, 17, 16, 15, 4, 0]) {
      await truncate(path, length);
      assert.equal(await readCatalogFile(place), 'damaged', `${length} bytes`);
    }
  });

  it('believes nothing of shards that changed places', async () => {
    await writeCatalogFile(place, snapshot, mib);
    const bytes = await readFile(path);
    const third = bytes.length - 260;
    const first = third - 260 - 516 + 256;
    const moved = Buffer.concat([
      bytes.subarray(0, first),
      bytes.subarray(third),
      bytes.subarray(first + 260, third),
      bytes.subarray(first, first + 260),
    ]);
    assert.equal(moved.length, bytes.length);
    await writeFile(path, moved);
    assert.equal(await readCatalogFile(place), 'damaged');
  });

  it('leaves that of another object store alone', async () => {
    await writeCatalogFile(place, snapshot, mib);
    const other = { ...place, storeDigest: new Uint8Array(32).fill(8) };
    assert.equal(await readCatalogFile(other), 'foreign');
    assert.equal(await checkCatalogFile(other), 'foreign');
  });

  it('takes no memory for what a head promises and the file does not hold', async () => {
    await writeCatalogFile(place, snapshot, mib);
    const bytes = await readFile(path);
    const headBytes = bytes.readUInt32LE(8);
    // The greatest shard that can be said, with a checksum that holds.
    bytes.writeUInt32LE(2 ** 31, 88);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, headBytes - 4)), headBytes - 4);
    await writeFile(path, bytes);
    assert.equal(await readCatalogFile(place), 'damaged');
  });

  it('is whole or as before when its writer dies, and leaves nothing else', async () => {
    await writeCatalogFile(place, snapshot, mib);
    await writeFile(`${path}.tmp`, 'half of one');
    assert.deepEqual(await readCatalogFile(place), snapshot);
    assert.deepEqual(await readdir(temporary.path), ['catalog']);
    const refusing = {
      ...place.files,
      rename: () => Promise.reject(Object.assign(new Error('no'), { code: 'EIO' })),
    };
    const writing = writeCatalogFile({ ...place, files: refusing }, snapshot, mib);
    await assert.rejects(writing, { code: 'EIO' });
    assert.deepEqual(await readdir(temporary.path), ['catalog']);
  });

  it('is not written above its limit, and then none is left', async () => {
    const byteLength = await writeCatalogFile(place, snapshot, mib);
    assert.equal(await writeCatalogFile(place, snapshot, byteLength - 1), 0);
    assert.equal(await readCatalogFile(place), 'absent');
    assert.equal(await writeCatalogFile(place, snapshot, byteLength), byteLength);
  });

  it('is not written for more namespaces than a head holds', async () => {
    const namespace = parseNamespace('n'.repeat(80));
    const owners = Array.from({ length: 50_000 }, (_, index) => ({
      ...{ number: index + 1, kind: 'block' as const, namespace },
    }));
    assert.equal(await writeCatalogFile(place, { ...snapshot, owners }, 100 * mib), 0);
  });
});

function words(length: number, first: number): Int32Array {
  return Int32Array.from({ length }, (_, index) => Math.imul(first + index, 0x9e3779b1));
}

/** As the little-endian processors write them on which this runs. */
function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, 4 * index);
  return bytes;
}
