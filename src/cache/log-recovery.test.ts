import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf, recordOf } from '../../test/support/cached-payloads.ts';
import { hookedFiles } from '../../test/support/hooked-files.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { seededRandom } from '../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { DiskLog } from './disk-log.ts';
import type { DiskLogOptions, LogAppend } from './disk-log.ts';
import { encodeKeys, encodeRecord, headerLength, recordLength } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import { segmentName } from './log-segment.ts';
import { segmentHeaderBytes } from './segment-header.ts';

const platform = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const kib = 1024;
const root = await makeTemporaryDirectory('log-recovery');
after(() => root.remove());

async function freshOptions(): Promise<DiskLogOptions> {
  const directory = `${root.path}/${platform.random.hex(8)}`;
  await platform.files.makeDirectory(directory);
  const { files, random } = platform;
  return { files, random, directory, budgetBytes: 64 * kib * kib, storeDigest };
}

function segmentPath(options: DiskLogOptions, number = 1): string {
  return `${options.directory}/${segmentName(number)}`;
}

/** A payload of a block of that name. */
function block(name: string, byteLength: number, changes: Partial<LogRecord> = {}): LogAppend {
  const payload = randomPayload(name, byteLength);
  return { record: recordOf(name, payload, changes), payload };
}

/** A note about the payload of a block of that name. */
function note(name: string, changes: Partial<LogRecord>): LogAppend {
  const payload = new Uint8Array(0);
  return { record: recordOf(name, payload, { payloadCrc: 0, ...changes }), payload };
}

/** The list of keys of a save. */
function keyList(keys: readonly BlockKey[], saveId: number): LogAppend {
  const payload = encodeKeys(keys);
  return { record: recordOf('list', payload, { type: 'save', saveId }), payload };
}

/** Appends the batches to a fresh log; gives its options and where each batch ends in its file. */
async function writtenLog(
  ...batches: readonly (readonly LogAppend[])[]
): Promise<{ options: DiskLogOptions; ends: number[] }> {
  const options = await freshOptions();
  const { log } = await DiskLog.open(options);
  const ends: number[] = [];
  for (const batch of batches) {
    await log.append(batch);
    ends.push(statSync(segmentPath(options)).size);
  }
  await log.close();
  return { options, ends };
}

interface FoundBlock {
  readonly record: LogRecord;
  readonly isPending: boolean;
  /** Undefined when they do not match their checksum. */
  readonly bytes: Uint8Array | undefined;
}

interface Reopened {
  readonly blocks: readonly FoundBlock[];
  readonly chains: ReadonlyMap<number, readonly BlockKey[]>;
  find(name: string): FoundBlock | undefined;
}

/** What a process finds that opens the log now. */
async function reopen(options: DiskLogOptions): Promise<Reopened> {
  const { log, recovered } = await DiskLog.open(options);
  const blocks: FoundBlock[] = [];
  for (const { record, segment, offset, isPending } of recovered.payloads) {
    const { payloadLength: length, payloadCrc: crc } = record;
    const bytes = new Uint8Array(length);
    const isIntact = await DiskLog.read({ segment, offset, length, crc }, bytes);
    blocks.push({ record, isPending, bytes: isIntact ? bytes : undefined });
  }
  await log.close();
  const find = (name: string): FoundBlock | undefined =>
    blocks.find(({ record }) => record.key === keyOf(name));
  return { blocks, chains: recovered.chains, find };
}

/** The names of the blocks that were found, each with the bytes that were appended. */
function soundNames({ blocks }: Reopened, appended: readonly LogAppend[]): BlockKey[] {
  return blocks.map(({ record, bytes }) => {
    const original = appended.find((one) => one.record.key === record.key);
    assert.deepEqual(bytes, original?.payload, `block ${record.key}`);
    return record.key;
  });
}

function keysOf(batch: readonly LogAppend[]): BlockKey[] {
  return batch.filter(({ record }) => record.type === 'payload').map(({ record }) => record.key);
}

/** A save of four blocks as the store writes one: its keys, then its payloads from last to first. */
function saveOf(name: string, saveId: number): LogAppend[] {
  const names = [0, 1, 2, 3].map((index) => `${name}-${index}`);
  const payloads = names.map((one, saveIndex) => block(one, 15 + saveIndex, { saveId, saveIndex }));
  return [keyList(names.map(keyOf), saveId), ...payloads.reverse()];
}

describe('a log that a crash cut off', () => {
  // Goal: whatever number of bytes of the last batch reached the file, earlier batches are intact,
  // no payload has other bytes, and no block shows without those behind it. Method: a copy of the
  // file cut at every length from the end of the second batch to the end of the third.
  it('keeps earlier batches, and of the last one whole blocks from its end', async () => {
    const batches = [[block('first', 100)], [block('second', 0)], saveOf('torn', 3)];
    const { options, ends } = await writtenLog(...batches);
    const [, end, fullEnd] = ends;
    const bytes = readFileSync(segmentPath(options));
    const torn = keysOf(batches[2]);
    const counts = new Set<number>();
    for (let length = end; length <= fullEnd; length += 1) {
      writeFileSync(segmentPath(options), bytes.subarray(0, length));
      const [first, second, ...rest] = soundNames(await reopen(options), batches.flat());
      assert.deepEqual([first, second], [keyOf('first'), keyOf('second')], `${length} bytes`);
      assert.deepEqual(rest, torn.slice(0, rest.length), `${length} bytes`);
      counts.add(rest.length);
    }
    assert.deepEqual([...counts], [0, 1, 2, 3, 4]);
  });

  it('never gives wrong bytes when the file has its length but not its end', async () => {
    const batches = [saveOf('first', 1), saveOf('torn', 2)];
    const { options, ends } = await writtenLog(...batches);
    const bytes = readFileSync(segmentPath(options));
    const earlier = keysOf(batches[0]);
    for (let length = ends[0]; length < ends[1]; length += 7) {
      const file = Buffer.alloc(bytes.length);
      bytes.copy(file, 0, 0, length);
      writeFileSync(segmentPath(options), file);
      const { blocks } = await reopen(options);
      const intact = blocks.filter((one) => one.bytes !== undefined);
      assert.deepEqual(
        intact.slice(0, 4).map(({ record }) => record.key),
        earlier,
      );
      for (const { record, bytes: found } of intact) {
        const original = batches.flat().find((one) => one.record.key === record.key);
        assert.deepEqual(found, original?.payload);
      }
    }
  });

  it('opens when there is less than a record, and goes on in a new segment', async () => {
    const { options } = await writtenLog(saveOf('only', 1));
    const bytes = readFileSync(segmentPath(options));
    for (const length of [segmentHeaderBytes, segmentHeaderBytes + 1, segmentHeaderBytes + 63]) {
      writeFileSync(segmentPath(options), bytes.subarray(0, length));
      assert.deepEqual((await reopen(options)).blocks, []);
    }
    const { log } = await DiskLog.open(options);
    await log.append([block('next', 50)]);
    await log.close();
    assert.deepEqual(soundNames(await reopen(options), [block('next', 50)]), [keyOf('next')]);
  });

  it('keeps what later processes wrote behind a torn segment', async () => {
    const { options, ends } = await writtenLog(saveOf('first', 1), saveOf('torn', 2));
    const bytes = readFileSync(segmentPath(options));
    writeFileSync(segmentPath(options), bytes.subarray(0, ends[0] + 100));
    const { log } = await DiskLog.open(options);
    await log.append(saveOf('later', 3));
    await log.close();
    const all = [...saveOf('first', 1), ...saveOf('later', 3)];
    assert.deepEqual(soundNames(await reopen(options), all), keysOf(all));
  });
});

describe('a log with damage', () => {
  it('loses only the record whose header is damaged, wherever the damage is', async () => {
    const batch = ['a', 'b', 'c'].map((name) => block(name, 200));
    const { options } = await writtenLog(batch);
    const bytes = readFileSync(segmentPath(options));
    const offset = segmentHeaderBytes + recordLength(batch[0].record);
    for (let at = 0; at < headerLength(batch[1].record); at += 1) {
      bytes[offset + at] ^= 0x40;
      writeFileSync(segmentPath(options), bytes);
      const found = soundNames(await reopen(options), batch);
      assert.deepEqual(found, [keyOf('a'), keyOf('c')], `byte ${at}`);
      bytes[offset + at] ^= 0x40;
    }
  });

  it('finds the next record behind a long damaged one', async () => {
    const batch = [block('long', 300 * kib), block('next', 10)];
    const { options } = await writtenLog(batch);
    const bytes = readFileSync(segmentPath(options));
    bytes[segmentHeaderBytes + 30] ^= 1;
    writeFileSync(segmentPath(options), bytes);
    assert.deepEqual(soundNames(await reopen(options), batch), [keyOf('next')]);
  });

  it('gives no payload that has a flipped bit, and all others', async () => {
    const batch = ['a', 'b', 'c'].map((name) => block(name, 64));
    const { options } = await writtenLog(batch);
    const bytes = readFileSync(segmentPath(options));
    const { record } = batch[1];
    const payloadOffset = segmentHeaderBytes + recordLength(record) + headerLength(record);
    for (let bit = 0; bit < 8 * 64; bit += 3) {
      bytes[payloadOffset + (bit >> 3)] ^= 1 << (bit & 7);
      writeFileSync(segmentPath(options), bytes);
      const { find } = await reopen(options);
      assert.deepEqual(find('a')?.bytes, batch[0].payload);
      assert.equal(find('b')?.bytes, undefined, `bit ${bit}`);
      assert.deepEqual(find('c')?.bytes, batch[2].payload);
      bytes[payloadOffset + (bit >> 3)] ^= 1 << (bit & 7);
    }
  });

  it('lists no keys of a save whose list is damaged, and keeps its blocks', async () => {
    const save = saveOf('listless', 5);
    const { options } = await writtenLog(save);
    const bytes = readFileSync(segmentPath(options));
    bytes[segmentHeaderBytes + headerLength(save[0].record)] ^= 1;
    writeFileSync(segmentPath(options), bytes);
    const found = await reopen(options);
    assert.equal(found.chains.size, 0);
    assert.deepEqual(soundNames(found, save), keysOf(save));
  });

  it('opens and gives no wrong bytes, whatever happened to the file', async () => {
    const batches = [saveOf('one', 1), saveOf('two', 2), saveOf('three', 3)];
    const { options } = await writtenLog(...batches);
    const original = readFileSync(segmentPath(options));
    const random = seededRandom('havoc');
    let intact = 0;
    for (let round = 0; round < 250; round += 1) {
      const bytes = Buffer.from(original);
      for (let damage = random.below(6); damage >= 0; damage -= 1) {
        const at = segmentHeaderBytes + random.below(bytes.length - segmentHeaderBytes);
        const end = Math.min(bytes.length, at + 1 + random.below(200));
        if (random.below(2) === 0) bytes.fill(random.below(256), at, end);
        else bytes.copy(bytes, at, random.below(bytes.length), bytes.length);
      }
      writeFileSync(segmentPath(options), bytes);
      for (const { record, bytes: found } of (await reopen(options)).blocks) {
        if (found === undefined) continue;
        const written = batches.flat().find((one) => one.record.key === record.key);
        assert.deepEqual(found, written?.payload);
        intact += 1;
      }
    }
    assert.ok(intact > 250, `${intact} blocks were intact`);
  });
});

describe('bytes that look like records', () => {
  // Goal: nothing inside a payload is ever taken for a record, not even when the scan walks through
  // it. Method: the payload holds a copy of the segment so far, and records made for the very places
  // where they lie but with another salt; then the header before it is damaged.
  it('are none inside of a payload', async () => {
    const { options } = await writtenLog([block('real', 200), block('other', 100)]);
    const soFar = readFileSync(segmentPath(options));
    const { log } = await DiskLog.open(options);
    // Payload bytes that begin at a record's place: the header of their record is 234 bytes long.
    const padding = Buffer.alloc(256 - (headerLength(recordOf('any', soFar)) % 256));
    const forged = Buffer.alloc(64 * kib);
    const seed = 0x07070707;
    for (let at = 0; at < forged.length; at += 256) {
      const offset = segmentHeaderBytes + 256 + at;
      const record = recordOf('forged', new Uint8Array(0), { sequence: 99 });
      forged.set(encodeRecord(record, { segment: 2, offset, seed }), at);
    }
    const copies = Buffer.concat([soFar, soFar.subarray(segmentHeaderBytes), forged]);
    const payload = Buffer.concat([padding, copies]);
    const carrier = { record: recordOf('carrier', payload, { sequence: 5 }), payload };
    await log.append([carrier, block('last', 100)]);
    await log.close();
    const names = ['real', 'other', 'carrier', 'last'];
    const found = await reopen(options);
    assert.deepEqual(
      found.blocks.map(({ record }) => record.key),
      names.map(keyOf),
    );
    const bytes = readFileSync(segmentPath(options, 2));
    assert.ok(bytes.includes(soFar.subarray(segmentHeaderBytes)));
    bytes[segmentHeaderBytes + 3] ^= 1;
    writeFileSync(segmentPath(options, 2), bytes);
    const damaged = await reopen(options);
    assert.deepEqual(
      damaged.blocks.map(({ record }) => record.key),
      [keyOf('real'), keyOf('other'), keyOf('last')],
    );
  });

  it('are none at another place of their own segment, or in another segment', async () => {
    const batch = [block('first', 64), block('second', 64), block('third', 64)];
    const { options } = await writtenLog(batch);
    const { log } = await DiskLog.open(options);
    await log.append([block('of-two', 64)]);
    await log.close();
    const length = recordLength(batch[0].record);
    const one = readFileSync(segmentPath(options));
    const moved = Buffer.from(one);
    // The third record over the first one, and the whole of segment 1 behind that of segment 2.
    one.copy(moved, segmentHeaderBytes, segmentHeaderBytes + 2 * length);
    writeFileSync(segmentPath(options), moved);
    const two = readFileSync(segmentPath(options, 2));
    writeFileSync(segmentPath(options, 2), Buffer.concat([two, one.subarray(segmentHeaderBytes)]));
    const { blocks } = await reopen(options);
    assert.deepEqual(
      blocks.map(({ record }) => record.key),
      [keyOf('second'), keyOf('third'), keyOf('of-two')],
    );
  });
});

describe('what counts of several records', () => {
  /** Goal, records in the order written, and what is left: `name:sequence`, `*` when pending. */
  const cases: readonly (readonly [string, readonly LogAppend[], readonly string[]])[] = [
    ['a payload is pending', [block('a', 5, { sequence: 1 })], ['a:1*']],
    ['a durable payload is not', [block('a', 5, { sequence: 1, isDurable: true })], ['a:1']],
    [
      'an uploaded payload is not pending any more',
      [block('a', 5, { sequence: 1 }), note('a', { type: 'uploaded', sequence: 1 })],
      ['a:1'],
    ],
    [
      'a note about an earlier payload says nothing of a later one',
      [
        block('a', 5, { sequence: 1 }),
        block('a', 5, { sequence: 2 }),
        note('a', { type: 'uploaded', sequence: 1 }),
      ],
      ['a:2*'],
    ],
    [
      'of two payloads under one key the later one counts',
      [block('a', 5, { sequence: 1 }), block('a', 5, { sequence: 2 })],
      ['a:2*'],
    ],
    [
      'an earlier payload that was written again later does not come back',
      [block('a', 5, { sequence: 2 }), block('a', 5, { sequence: 1 })],
      ['a:2*'],
    ],
    [
      'a payload that was written again counts as its last copy says',
      [block('a', 5, { sequence: 1 }), block('a', 5, { sequence: 1, isDurable: true })],
      ['a:1'],
    ],
    [
      'a removed payload is gone',
      [block('a', 5, { sequence: 1 }), note('a', { type: 'removed', sequence: 1 })],
      [],
    ],
    [
      'a removal takes earlier payloads with it',
      [block('a', 5, { sequence: 1 }), note('a', { type: 'removed', sequence: 3 })],
      [],
    ],
    [
      'a payload saved after a removal stays',
      [
        block('a', 5, { sequence: 1 }),
        note('a', { type: 'removed', sequence: 1 }),
        block('a', 5, { sequence: 2 }),
      ],
      ['a:2*'],
    ],
    [
      'a removal of an earlier payload leaves a later one',
      [
        block('a', 5, { sequence: 1 }),
        block('a', 5, { sequence: 2 }),
        note('a', { type: 'removed', sequence: 1 }),
      ],
      ['a:2*'],
    ],
    [
      'notes about what is not there mean nothing',
      [note('a', { type: 'uploaded', sequence: 1 }), note('b', { type: 'removed', sequence: 2 })],
      [],
    ],
    [
      'notes touch their own key, kind and namespace only',
      [
        block('a', 5, { sequence: 1 }),
        note('b', { type: 'removed', sequence: 9 }),
        note('a', { type: 'removed', sequence: 9, kind: 'raw-tail' }),
        note('a', { type: 'removed', sequence: 9, namespace: parseNamespace('tenant2') }),
      ],
      ['a:1*'],
    ],
  ];
  for (const [goal, batch, expected] of cases) {
    it(goal, async () => {
      const { options } = await writtenLog(...batch.map((one) => [one]));
      const { blocks } = await reopen(options);
      const left = blocks.map(({ record, isPending }) => {
        const name = record.key === keyOf('a') ? 'a' : 'b';
        return `${name}:${record.sequence}${isPending ? '*' : ''}`;
      });
      assert.deepEqual(left, expected);
    });
  }

  it('a block, a tail and a raw tail under one key are three, in each namespace', async () => {
    const kinds = ['block', 'tail', 'raw-tail'] as const;
    const batch = ['red', 'blue', 'block'].flatMap((name) =>
      kinds.map((kind) =>
        block('same', 9, { kind, namespace: parseNamespace(name), parent: keyOf('tip') }),
      ),
    );
    const { options } = await writtenLog(batch);
    assert.equal((await reopen(options)).blocks.length, 9);
  });

  it('keeps the keys of those saves that have something pending', async () => {
    const [uploaded, pending] = [saveOf('uploaded', 1), saveOf('pending', 2)];
    const notes = uploaded.slice(1).map(({ record }) => ({
      record: { ...record, type: 'uploaded' as const, payloadLength: 0, payloadCrc: 0 },
      payload: new Uint8Array(0),
    }));
    const { options } = await writtenLog(uploaded, pending, notes);
    const { chains } = await reopen(options);
    assert.deepEqual([...chains.keys()], [2]);
    assert.deepEqual(
      chains.get(2),
      [0, 1, 2, 3].map((index) => keyOf(`pending-${index}`)),
    );
  });

  it('numbers go on from the highest in any record', async () => {
    const { options } = await writtenLog([
      block('a', 5, { sequence: 3, saveId: 9 }),
      note('a', { type: 'removed', sequence: 11, saveId: 2 }),
      keyList([keyOf('a')], 14),
    ]);
    const { log, recovered } = await DiskLog.open(options);
    assert.deepEqual([recovered.lastSequence, recovered.lastSaveId], [11, 14]);
    await log.close();
  });
});

describe('opening a large log', () => {
  /** Opens the log and gives the number of reads and their bytes. */
  async function countedOpen(
    options: DiskLogOptions,
  ): Promise<{ payloads: number; reads: number }> {
    let reads = 0;
    const files = hookedFiles(options.files, (call) => {
      if (call === 'read') reads += 1;
    });
    const { log, recovered } = await DiskLog.open({ ...options, files });
    await log.close();
    return { payloads: recovered.payloads.length, reads };
  }

  it('reads 10,000 small records by the window, not one by one', async () => {
    const batch = Array.from({ length: 10_000 }, (_, index) => block(`small-${index}`, 40));
    const { options, ends } = await writtenLog(batch);
    const { payloads, reads } = await countedOpen(options);
    assert.equal(payloads, 10_000);
    const windows = Math.ceil(ends[0] / (255 * kib));
    assert.ok(reads <= windows + 1, `${reads} reads for ${windows} windows`);
  });

  it('reads of large records the headers only', async () => {
    const batch = Array.from({ length: 30 }, (_, index) => block(`large-${index}`, 300 * kib));
    const { options } = await writtenLog(batch);
    let readBytes = 0;
    const files = {
      ...options.files,
      open: async (...given: Parameters<typeof options.files.open>) => {
        const file = await options.files.open(...given);
        return {
          read: async (into: Uint8Array, position: number) => {
            readBytes += into.length;
            return file.read(into, position);
          },
          write: file.write.bind(file),
          sync: () => file.sync(),
          truncate: (byteLength: number) => file.truncate(byteLength),
          byteLength: () => file.byteLength(),
          close: () => file.close(),
        };
      },
    };
    const { log, recovered } = await DiskLog.open({ ...options, files });
    await log.close();
    assert.equal(recovered.payloads.length, 30);
    assert.ok(readBytes < 700 * kib, `${readBytes} bytes were read of ${30 * 300 * kib}`);
  });
});
