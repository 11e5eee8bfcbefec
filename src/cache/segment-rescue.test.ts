import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { crc32c } from '../base/crc32c.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf, recordOf } from '../../test/support/cached-payloads.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { seededRandom } from '../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { DiskLog } from './disk-log.ts';
import type { DiskLogOptions, LogAppend } from './disk-log.ts';
import { segmentName } from './log-segment.ts';
import { encodeSegmentHeader, segmentHeaderBytes } from './segment-header.ts';
import { indexName } from './segment-index.ts';
import { saltOfSeed } from './segment-rescue.ts';

const { files, random } = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const root = await makeTemporaryDirectory('segment-rescue');
after(() => root.remove());

/** A log of one segment that its process left, as options to open it again. */
class LeftLog {
  readonly options: DiskLogOptions;
  readonly blocks: readonly LogAppend[];
  readonly segment: Buffer;

  private constructor(options: DiskLogOptions, blocks: readonly LogAppend[]) {
    this.options = options;
    this.blocks = blocks;
    this.segment = readFileSync(`${options.directory}/${segmentName(1)}`);
  }

  static async write(count: number, digest = storeDigest): Promise<LeftLog> {
    const directory = `${root.path}/${random.hex(8)}`;
    await files.makeDirectory(directory);
    const options = { files, random, directory, budgetBytes: 1 << 26, storeDigest: digest };
    const { log } = await DiskLog.open(options);
    const blocks = Array.from({ length: count }, (_, index) => {
      const payload = randomPayload(`block-${index}`, 100 + 37 * index);
      return { record: recordOf(`block-${index}`, payload, { sequence: index + 1 }), payload };
    });
    if (count > 0) await log.append(blocks);
    await log.close();
    return new LeftLog({ ...options, storeDigest }, blocks);
  }

  get indexPath(): string {
    return `${this.options.directory}/${indexName(1)}`;
  }

  /** Opens the log with that segment file; which blocks come back whole, and what it says. */
  async reopen(segment: Uint8Array): Promise<{ whole: number; isRead: boolean | undefined }> {
    writeFileSync(`${this.options.directory}/${segmentName(1)}`, segment);
    const { log, recovered, damagedSegments } = await DiskLog.open(this.options);
    let whole = 0;
    for (const { record, segment: from, offset, isPending } of recovered.payloads) {
      const at = this.blocks.findIndex((block) => block.record.key === record.key);
      assert.ok(at >= 0, 'a key that was never written');
      assert.equal(isPending, true);
      const bytes = new Uint8Array(record.payloadLength);
      const location = { segment: from, offset, length: bytes.length, crc: record.payloadCrc };
      assert.ok(await DiskLog.read(location, bytes));
      assert.deepEqual(bytes, this.blocks[at].payload);
      whole += 1;
    }
    await log.close();
    assert.ok(damagedSegments.length <= 1);
    return { whole, isRead: damagedSegments.at(0)?.isRead };
  }

  changed(change: (bytes: Buffer) => void): Buffer {
    const bytes = Buffer.from(this.segment);
    change(bytes);
    return bytes;
  }
}

describe('a segment whose header is damaged', () => {
  // Goal: whatever byte of it is changed, every record is read all the same and the damage is told
  // once. Method: each byte, by two masks, of segments with one record, with a few, and with an index
  // file and without it.
  it('gives all its records, whichever byte it is, and says that it is damaged', async () => {
    const changes = Array.from({ length: segmentHeaderBytes }, (_, at) => [
      0xff,
      1 << (at % 8),
    ]).flatMap((masks, at) => masks.map((mask) => ({ at, mask })));
    for (const [count, hasIndex] of [[1], [2], [5], [20, true], [20, false]] as const) {
      const left = await LeftLog.write(count);
      if (hasIndex === false) rmSync(left.indexPath);
      for (const { at, mask } of changes) {
        const found = await left.reopen(left.changed((bytes) => (bytes[at] ^= mask)));
        assert.deepEqual(found, { whole: count, isRead: true }, `${count}, byte ${at}`);
      }
    }
  });

  it('may be gone altogether, when two records agree', async () => {
    const seeds = seededRandom('wiped headers');
    for (let round = 0; round < 50; round += 1) {
      const left = await LeftLog.write(2 + (round % 3));
      const wiped = left.changed((bytes) => {
        const fill = round === 0 ? 0 : seeds.below(256);
        for (let at = 0; at < segmentHeaderBytes; at += 1) bytes[at] = fill ^ (round % 2 ? at : 0);
      });
      assert.deepEqual(await left.reopen(wiped), { whole: left.blocks.length, isRead: true });
    }
  });

  it('is read behind a damaged first record, by its own salt or by that of its index', async () => {
    const left = await LeftLog.write(20);
    const first = segmentHeaderBytes + 5;
    const bySalt = left.changed((bytes) => {
      bytes[0] ^= 1;
      bytes[first] ^= 1;
    });
    rmSync(left.indexPath);
    assert.deepEqual(await left.reopen(bySalt), { whole: 19, isRead: true });
    const indexed = await LeftLog.write(20);
    const byIndex = indexed.changed((bytes) => {
      bytes.fill(0, 0, segmentHeaderBytes);
      bytes[first] ^= 1;
    });
    // The index tells of the first record too.
    assert.deepEqual(await indexed.reopen(byIndex), { whole: 20, isRead: true });
  });

  it('is left when nothing confirms its records, and when it has none', async () => {
    const one = await LeftLog.write(1);
    const wiped = (left: LeftLog) => left.changed((bytes) => bytes.fill(0, 0, segmentHeaderBytes));
    assert.deepEqual(await one.reopen(wiped(one)), { whole: 0, isRead: false });
    const two = await LeftLog.write(2);
    const both = wiped(two);
    both[segmentHeaderBytes + 80] ^= 1;
    assert.deepEqual(await two.reopen(both), { whole: 0, isRead: false });
    assert.equal(readFileSync(`${two.options.directory}/${segmentName(1)}`).length, both.length);
  });

  it("is another store's when its header says so, but for what every header has", async () => {
    const foreign = await LeftLog.write(5, randomPayload('other store', 32));
    for (const at of [0, 3, 4, 5, 6, 7, 8, 11]) {
      const found = await foreign.reopen(foreign.changed((bytes) => (bytes[at] ^= 0x10)));
      assert.deepEqual(found, { whole: 0, isRead: false }, `byte ${at}`);
    }
    assert.deepEqual(await foreign.reopen(foreign.segment), { whole: 0, isRead: undefined });
  });

  it('takes no record out of a payload, whatever that looks like', async () => {
    const left = await LeftLog.write(3);
    // A payload that holds a whole segment behind bytes that bring its records to their places.
    const inner = Buffer.from(left.segment.subarray(segmentHeaderBytes));
    const payload = Buffer.concat([Buffer.alloc(64 * 5), inner]);
    const directory = `${root.path}/${random.hex(8)}`;
    await files.makeDirectory(directory);
    const options = { ...left.options, directory };
    const { log } = await DiskLog.open(options);
    await log.append([{ record: recordOf('carrier', payload), payload }]);
    await log.append([left.blocks[0]]);
    await log.close();
    const path = `${directory}/${segmentName(1)}`;
    const bytes = readFileSync(path);
    bytes.fill(0xee, 0, segmentHeaderBytes);
    writeFileSync(path, bytes);
    const { log: again, recovered } = await DiskLog.open(options);
    await again.close();
    const keys = recovered.payloads.map(({ record }) => record.key);
    assert.deepEqual(keys, [keyOf('carrier'), keyOf('block-0')]);
  });
});

describe('saltOfSeed()', () => {
  it('makes a salt of which that is the CRC, and headers of one checksum', () => {
    const seeds = seededRandom('salts');
    for (let round = 0; round < 1000; round += 1) {
      const salt = randomPayload(round, 16);
      const seed = round === 0 ? 0 : crc32c(salt);
      const made = saltOfSeed(seed);
      assert.equal(crc32c(made), seed);
      if (round === 0) continue;
      const number = seeds.below(2 ** 32);
      const checksumOf = (own: Uint8Array) =>
        Buffer.from(encodeSegmentHeader({ number, salt: own, storeDigest })).readUInt32LE(60);
      assert.equal(checksumOf(made), checksumOf(salt));
    }
  });
});
