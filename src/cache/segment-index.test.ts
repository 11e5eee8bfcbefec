import assert from 'node:assert/strict';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { crc32c } from '../base/crc32c.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Files } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf, recordOf } from '../../test/support/cached-payloads.ts';
import { hookedFiles, systemError } from '../../test/support/hooked-files.ts';
import type { FileCall } from '../../test/support/hooked-files.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { seededRandom } from '../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { DiskLog } from './disk-log.ts';
import type { DiskLogOptions, LogAppend, OpenedLog } from './disk-log.ts';
import { encodeKeys, encodeRecord, headerLength, recordLength } from './log-record.ts';
import { LogSegment, segmentName } from './log-segment.ts';
import { segmentHeaderBytes } from './segment-header.ts';
import { decodeIndex, indexName, indexNumber, SegmentIndexBuilder } from './segment-index.ts';

const platform = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const kib = 1024;
const root = await makeTemporaryDirectory('segment-index');
after(() => root.remove());

async function freshOptions(changes: Partial<DiskLogOptions> = {}): Promise<DiskLogOptions> {
  const directory = `${root.path}/${platform.random.hex(8)}`;
  await platform.files.makeDirectory(directory);
  const { files, random } = platform;
  return { files, random, directory, budgetBytes: 64 * kib * kib, storeDigest, ...changes };
}

function block(name: string | number, byteLength = 40): LogAppend {
  const payload = randomPayload(name, byteLength);
  return { record: recordOf(name, payload), payload };
}

function blocks(name: string, count: number): LogAppend[] {
  return Array.from({ length: count }, (_, index) => block(`${name}-${index}`));
}

async function write(options: DiskLogOptions, ...batches: LogAppend[][]): Promise<void> {
  const { log } = await DiskLog.open(options);
  for (const batch of batches) await log.append(batch);
  await log.close();
}

const pathOf = (options: DiskLogOptions, name: string): string => `${options.directory}/${name}`;
const indexOf = (options: DiskLogOptions): string => pathOf(options, indexName(1));
const segmentOf = (options: DiskLogOptions): string => pathOf(options, segmentName(1));

/** All that a log is recovered to, but for the segments that hold it. */
async function recovery(options: DiskLogOptions): Promise<unknown> {
  const { log, recovered } = await DiskLog.open(options);
  await log.close();
  const { payloads, chains, lastSequence, lastSaveId } = recovered;
  const found = payloads.map(({ segment, ...payload }) => ({ ...payload, number: segment.number }));
  return { found, chains, lastSequence, lastSaveId };
}

/** What opening says; the log is closed again. */
async function opening(options: DiskLogOptions): Promise<OpenedLog> {
  const opened = await DiskLog.open(options);
  await opened.log.close();
  return opened;
}

/** The same by a scan: without the index files, which are put back. */
async function scanned(options: DiskLogOptions): Promise<unknown> {
  const names = (await readdir(options.directory)).filter((name) => name.endsWith('.index'));
  const kept = names.map((name) => [pathOf(options, name), readFileSync(pathOf(options, name))]);
  for (const name of names) rmSync(pathOf(options, name));
  const result = await recovery(options);
  for (const [path, bytes] of kept) writeFileSync(String(path), bytes);
  return result;
}

/** Counts the reads of segments while a log is opened: one is that of the header. */
async function segmentReads(options: DiskLogOptions): Promise<number> {
  let reads = 0;
  const files = hookedFiles(options.files, (call, path) => {
    if (call === 'read' && path.endsWith('.log')) reads += 1;
  });
  const { log } = await DiskLog.open({ ...options, files });
  await log.close();
  return reads;
}

/** A log of one segment with its index, and both as bytes. */
async function indexedLog(
  count = 20,
): Promise<{ options: DiskLogOptions; index: Buffer; segment: Buffer }> {
  const options = await freshOptions();
  await write(options, blocks('indexed', count));
  const [index, segment] = [readFileSync(indexOf(options)), readFileSync(segmentOf(options))];
  return { options, index, segment };
}

/** The bytes with a checksum that holds again. */
function sealed(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, -4)), bytes.length - 4);
  return bytes;
}

describe('the name of an index file', () => {
  it('has the number of its segment, and is told from other names', () => {
    assert.equal(indexName(3), 'segment-0000000003.index');
    assert.equal(indexNumber('segment-0000000003.index'), 3);
    for (const name of ['segment-3.index', segmentName(3), 'segment-0000000003.index.old']) {
      assert.equal(indexNumber(name), undefined, name);
    }
  });
});

describe('an index file', () => {
  it('has the bytes that docs/FORMAT.md draws', async () => {
    const { index, segment } = await indexedLog(16);
    assert.equal(index.toString('latin1', 0, 4), 'WKVI');
    assert.equal(index.readUInt16LE(4), 1);
    assert.equal(index.readUInt16LE(6), 0);
    assert.equal(index.readUInt32LE(8), 1); // segment number
    assert.deepEqual(index.subarray(12, 28), segment.subarray(12, 28)); // salt
    assert.deepEqual(index.subarray(28, 60), Buffer.from(storeDigest));
    assert.equal(index.readUInt32LE(60), 16); // records
    assert.equal(index.readBigUInt64LE(64), BigInt(segment.length));
    assert.equal(index.readBigUInt64LE(72), BigInt(index.length));
    // Each header takes 160 bytes, the name `tenant` and a checksum; each record 256 bytes.
    assert.equal(index.length, 80 + 16 * 170 + 4);
    for (let at = 0; at < 16; at += 1) {
      const header = segment.subarray(64 + 256 * at, 64 + 256 * at + 170);
      assert.deepEqual(index.subarray(80 + 170 * at, 80 + 170 * (at + 1)), header, `record ${at}`);
    }
    assert.equal(index.readUInt32LE(80 + 16 * 170), crc32c(index.subarray(0, -4)));
  });

  it('is written for sealed segments and at close, not for a few records', async () => {
    const options = await freshOptions({ budgetBytes: 64 * kib });
    const { log } = await DiskLog.open(options);
    // Records of 256 bytes: 32 fill a segment of 8 KiB.
    for (const one of blocks('sealed', 70)) await log.append([one]);
    await log.close();
    const names = (await readdir(options.directory)).sort();
    assert.deepEqual(names, [
      ...[indexName(1), segmentName(1)],
      ...[indexName(2), segmentName(2), segmentName(3)],
    ]);
  });

  it('spares reading its segment', async () => {
    const { options } = await indexedLog();
    assert.equal(await segmentReads(options), 1);
    rmSync(indexOf(options));
    assert.equal(await segmentReads(options), 2);
  });

  // Goal: an index never changes what is recovered. Method: random logs of all types of records, in
  // several segments by several processes, opened with their index files and without.
  it('gives what a scan gives, for random logs', async () => {
    const random = seededRandom('logs');
    let indexes = 0;
    for (let round = 0; round < 40; round += 1) {
      const options = await freshOptions({ budgetBytes: (64 + random.below(200)) * kib });
      let sequence = 0;
      for (let process = 1 + random.below(3); process > 0; process -= 1) {
        const batches = Array.from({ length: 1 + random.below(40) }, () =>
          Array.from({ length: 1 + random.below(6) }, () => randomRecord(random, (sequence += 1))),
        );
        await write(options, ...batches);
      }
      indexes += (await readdir(options.directory)).filter((n) => n.endsWith('.index')).length;
      assert.deepEqual(await recovery(options), await scanned(options), `round ${round}`);
    }
    assert.ok(indexes > 60, `${indexes} index files were tried`);
  });

  it('is counted in the bytes of the log, also before it is written', async () => {
    const options = await freshOptions();
    const { log } = await DiskLog.open(options);
    await log.append(blocks('counted', 20));
    const before = log.byteLength;
    await log.close();
    const bytes = readFileSync(indexOf(options)).length + readFileSync(segmentOf(options)).length;
    assert.equal(before, bytes);
    const { log: again } = await DiskLog.open(options);
    assert.equal(again.byteLength, bytes);
    await again.close();
  });
});

function randomRecord(random: { below(limit: number): number }, sequence: number): LogAppend {
  const type = (['payload', 'payload', 'payload', 'save', 'uploaded', 'removed'] as const)[
    random.below(6)
  ];
  const name = `random-${random.below(60)}`;
  const namespace = parseNamespace(['tenant', 'ü', 'n'.repeat(80)][random.below(3)]);
  const kind = (['block', 'tail', 'raw-tail'] as const)[random.below(3)];
  const isNote = type === 'uploaded' || type === 'removed';
  const list = encodeKeys([keyOf(name), keyOf('other')]);
  const payload = type === 'save' ? list : randomPayload(name, isNote ? 0 : random.below(700));
  const about = isNote ? 1 + random.below(sequence) : sequence;
  const changes = { type, namespace, kind, sequence: about, saveId: 1 + random.below(9) };
  const isDurable = random.below(2) === 0;
  return { record: recordOf(name, payload, { ...changes, isDurable }), payload };
}

describe('an index file that cannot be used', () => {
  it('is refused when any byte of it is changed, or it is cut anywhere', async () => {
    const { options, index } = await indexedLog();
    const { files } = options;
    const place = { files, path: segmentOf(options), number: 1, storeDigest };
    const segment = await LogSegment.open(place);
    assert.ok(segment !== undefined);
    assert.equal(decodeIndex(index, segment, storeDigest)?.length, 20);
    for (let at = 0; at < index.length; at += 1) {
      for (const mask of [0xff, 1 << (at % 8)]) {
        index[at] ^= mask;
        assert.equal(decodeIndex(index, segment, storeDigest), undefined, `byte ${at}`);
        index[at] ^= mask;
      }
      assert.equal(
        decodeIndex(index.subarray(0, at), segment, storeDigest),
        undefined,
        `cut ${at}`,
      );
    }
    await segment.close();
  });

  it('leaves recovery as it is, and is removed', async () => {
    const { options, index } = await indexedLog();
    const expected = await scanned(options);
    for (let at = 0; at < index.length; at += 23) {
      const changed = Buffer.from(index);
      changed[at] ^= 0x10;
      for (const bytes of [changed, index.subarray(0, at), Buffer.concat([index, changed])]) {
        writeFileSync(indexOf(options), bytes);
        const isCut = bytes.length < index.length;
        assert.equal((await opening(options)).damagedIndexes.length, isCut ? 0 : 1, `byte ${at}`);
        writeFileSync(indexOf(options), bytes);
        assert.deepEqual(await recovery(options), expected, `byte ${at}`);
        assert.deepEqual(await readdir(options.directory), [segmentName(1)], `byte ${at}`);
      }
    }
  });

  it('hides no record of a segment that is longer, and shows none of one that is shorter', async () => {
    const { options, index, segment } = await indexedLog();
    const offset = segment.length;
    const late = block('late', 10);
    const place = { segment: 1, offset, seed: crc32c(segment.subarray(12, 28)) };
    const more = Buffer.alloc(recordLength(late.record));
    more.set(encodeRecord(late.record, place));
    more.set(late.payload, headerLength(late.record));
    for (const bytes of [Buffer.concat([segment, more]), segment.subarray(0, offset - 256)]) {
      writeFileSync(segmentOf(options), bytes);
      writeFileSync(indexOf(options), index);
      const { log, recovered, damagedIndexes } = await DiskLog.open(options);
      assert.deepEqual(damagedIndexes, [], 'it is outdated and not damaged');
      const isLonger = bytes.length > offset;
      assert.equal(recovered.payloads.length, isLonger ? 21 : 19);
      assert.equal(recovered.payloads.at(-1)?.record.key === late.record.key, isLonger);
      await log.close();
    }
  });

  /** What is changed in an index file whose checksum holds. */
  const changes: readonly (readonly [string, (index: Buffer) => void])[] = [
    ['another file', (index) => index.write('WKVS', 0)],
    ['a newer version', (index) => index.writeUInt16LE(2, 4)],
    ['another segment', (index) => index.writeUInt32LE(2, 8)],
    ['an earlier segment of that number', (index) => index.fill(9, 12, 28)],
    ['another object store', (index) => index.fill(9, 28, 60)],
    ['fewer records', (index) => index.writeUInt32LE(19, 60)],
    ['another length of the segment', (index) => index.writeBigUInt64LE(256n, 64)],
    ['another length of the index', (index) => index.writeBigUInt64LE(256n, 72)],
    ['records in another order', (index) => index.copyWithin(80, 250, 420)],
    ['a payload longer than the segment', (index) => index.writeUInt32LE(1 << 29, 80 + 16)],
  ];
  for (const [what, change] of changes) {
    it(`is that of ${what}, though its checksum holds`, async () => {
      const { options, index } = await indexedLog();
      const expected = await scanned(options);
      change(index);
      writeFileSync(indexOf(options), sealed(index));
      assert.equal(await segmentReads(options), 2);
      assert.deepEqual(await recovery(options), expected);
    });
  }

  it('is not read when it is longer than its segment could have', async () => {
    const { options } = await indexedLog();
    truncateSync(indexOf(options), limits.segmentIndexBytesMax + 1);
    const expected = await scanned(options);
    truncateSync(indexOf(options), limits.segmentIndexBytesMax + 1);
    const files: Files = {
      ...options.files,
      readSmall: async (path, byteLengthMax) => {
        assert.ok(byteLengthMax <= readFileSync(segmentOf(options)).length + 84);
        return options.files.readSmall(path, byteLengthMax);
      },
    };
    assert.deepEqual(await recovery({ ...options, files }), expected);
  });

  it('is not even made of more records than its limit', async () => {
    const options = await freshOptions();
    await write(options, [block('one')]);
    const { files } = options;
    const place = { files, path: segmentOf(options), number: 1, storeDigest };
    const segment = await LogSegment.open(place);
    assert.ok(segment !== undefined);
    const builder = new SegmentIndexBuilder(segment);
    const header = new Uint8Array(170);
    const most = Math.floor((limits.segmentIndexBytesMax - 84) / header.length);
    for (let count = 0; count < most; count += 1) builder.add(header);
    assert.ok(builder.isWorthwhile);
    assert.ok(builder.byteLength <= limits.segmentIndexBytesMax);
    builder.add(header);
    assert.ok(!builder.isWorthwhile);
    assert.equal(builder.byteLength, 0);
    await segment.close();
  });
});

describe('the life of an index file', () => {
  /** The calls that matter for files of a log, in their order, with the end of their paths. */
  function recording(calls: string[], files: Files): Files {
    const told: readonly FileCall[] = ['open', 'write', 'sync', 'remove'];
    return hookedFiles(files, (call, path) => {
      const isIndex = path.endsWith('.index');
      if (told.includes(call)) calls.push(`${call} ${isIndex ? 'index' : 'segment'}`);
    });
  }

  it('begins after the last write of its segment, when that is synced', async () => {
    const options = await freshOptions();
    const calls: string[] = [];
    await write({ ...options, files: recording(calls, options.files) }, blocks('order', 16));
    assert.deepEqual(calls, [
      ...['open segment', 'write segment', 'write segment'],
      ...['sync segment', 'open index', 'write index'],
    ]);
  });

  it('ends before its segment is removed', async () => {
    const { options } = await indexedLog();
    const calls: string[] = [];
    const { log } = await DiskLog.open({ ...options, files: recording(calls, options.files) });
    calls.length = 0;
    await log.dropOldest();
    assert.deepEqual(calls, ['remove index', 'remove segment']);
    assert.equal(log.byteLength, 0);
    await log.close();
    assert.deepEqual(await readdir(options.directory), []);
  });

  it('ends with a segment that is dropped while its index is written', async () => {
    const options = await freshOptions({ budgetBytes: 64 * kib });
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const files = hookedFiles(options.files, (call) => (call === 'sync' ? released : undefined));
    const { log } = await DiskLog.open({ ...options, files });
    for (const one of blocks('dropped', 40)) await log.append([one]);
    const dropping = log.dropOldest();
    release();
    await dropping;
    await log.close();
    const names = await readdir(options.directory);
    assert.ok(!names.includes(indexName(1)) && !names.includes(segmentName(1)));
  });

  it('ends when its segment is gone', async () => {
    const { options } = await indexedLog();
    rmSync(segmentOf(options));
    const { log } = await DiskLog.open(options);
    await log.close();
    assert.deepEqual(await readdir(options.directory), []);
  });

  it('is that of the other object store whose segment it is', async () => {
    const { options, index } = await indexedLog();
    const other = { ...options, storeDigest: randomPayload('other', 32) };
    await write(other, blocks('other', 16));
    assert.deepEqual(readFileSync(indexOf(options)), index);
  });

  for (const failing of ['sync', 'open', 'write'] as const) {
    it(`does not begin when ${failing} fails, and nothing else does`, async () => {
      const options = await freshOptions();
      const files = hookedFiles(options.files, (call, path) => {
        if (call !== failing || (call !== 'sync' && !path.endsWith('.index'))) return;
        throw systemError('EIO');
      });
      const told: string[] = [];
      const onIndexFailure = (path: string): void => void told.push(path);
      await write({ ...options, files, onIndexFailure }, blocks('failing', 20));
      assert.deepEqual(told, [indexOf(options)]);
      assert.deepEqual(await readdir(options.directory), [segmentName(1)]);
      const { log, recovered } = await DiskLog.open(options);
      assert.equal(recovered.payloads.length, 20);
      await log.close();
    });
  }

  it('is cut off by the death of its process without harm', async () => {
    const options = await freshOptions();
    const dead = new Promise<void>(() => undefined);
    let isSynced = (): void => undefined;
    const synced = new Promise<void>((resolve) => (isSynced = resolve));
    const files = hookedFiles(options.files, (call, path) => {
      if (call !== 'write' || !path.endsWith('.index')) return;
      isSynced();
      return dead;
    });
    const { log } = await DiskLog.open({ ...options, files });
    await log.append(blocks('dead', 20));
    void log.close();
    await synced;
    assert.equal(readFileSync(indexOf(options)).length, 0);
    // The header, the scan, and a second one to tell that the index was only begun.
    assert.equal(await segmentReads(options), 3);
    assert.equal(readFileSync(segmentOf(options)).length, segmentHeaderBytes + 20 * 256);
  });
});
