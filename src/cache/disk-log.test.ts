import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { AssertionError } from '../base/assert.ts';
import { isStoreError, systemErrorCode } from '../base/errors.ts';
import type { Files } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf, recordOf } from '../../test/support/cached-payloads.ts';
import { FullDisk } from '../../test/support/full-disk.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { DiskLog } from './disk-log.ts';
import type { DiskLocation, DiskLogOptions, LogAppend } from './disk-log.ts';
import type { RecoveredLog } from './log-recovery.ts';
import { segmentName } from './log-segment.ts';
import { segmentHeaderBytes } from './segment-header.ts';

const platform = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const kib = 1024;
const root = await makeTemporaryDirectory('disk-log');
after(() => root.remove());

/** Options for the log of a directory of its own. */
async function freshOptions(changes: Partial<DiskLogOptions> = {}): Promise<DiskLogOptions> {
  const directory = `${root.path}/${platform.random.hex(8)}`;
  await platform.files.makeDirectory(directory);
  const { files, random } = platform;
  return { files, random, directory, budgetBytes: 1024 * kib, storeDigest, ...changes };
}

/** Something to append: a block of that name with random bytes. */
function block(name: string | number, byteLength: number, sequence = 1): LogAppend {
  const payload = randomPayload(name, byteLength);
  return { record: recordOf(name, payload, { sequence }), payload };
}

function blocks(name: string, count: number, byteLength: number): LogAppend[] {
  return Array.from({ length: count }, (_, index) =>
    block(`${name}-${index}`, byteLength, index + 1),
  );
}

async function readAt(location: DiskLocation): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(location.length);
  return (await DiskLog.read(location, bytes)) ? bytes : undefined;
}

/** The payloads that a log gives after it was opened again, by name of their blocks. */
async function recoveredBlocks(
  recovered: RecoveredLog,
  names: readonly (string | number)[],
): Promise<Map<string | number, Uint8Array | undefined>> {
  const found = new Map<string | number, Uint8Array | undefined>();
  for (const { record, segment, offset } of recovered.payloads) {
    const name = names.find((one) => keyOf(one) === record.key);
    assert.ok(name !== undefined, `${record.key} was never appended`);
    const { payloadLength: length, payloadCrc: crc } = record;
    found.set(name, await readAt({ segment, offset, length, crc }));
  }
  return found;
}

/** Opens the options' log again and checks that it holds exactly these blocks. */
async function assertHolds(
  options: DiskLogOptions,
  expected: readonly LogAppend[],
  names: readonly (string | number)[],
): Promise<void> {
  const { log, recovered } = await DiskLog.open({ ...options, files: platform.files });
  const found = await recoveredBlocks(recovered, names);
  assert.equal(found.size, expected.length);
  for (const { record, payload } of expected) {
    const name = names.find((one) => keyOf(one) === record.key);
    assert.deepEqual(found.get(name ?? ''), payload, String(name));
  }
  await log.close();
}

function namesOf(
  ...batches: readonly { readonly name: string; readonly count: number }[]
): string[] {
  return batches.flatMap(({ name, count }) =>
    Array.from({ length: count }, (_, index) => `${name}-${index}`),
  );
}

function isFull(error: unknown): boolean {
  return systemErrorCode(error) === 'ENOSPC';
}

describe('DiskLog', () => {
  it('gives back what was appended, before and after it is opened again', async () => {
    const options = await freshOptions();
    const batch = [block('a', 0, 1), block('b', 1, 2), block('c', 5000, 3)];
    const { log, recovered } = await DiskLog.open(options);
    assert.deepEqual(recovered.payloads, []);
    const locations = await log.append(batch);
    for (const [index, location] of locations.entries()) {
      assert.deepEqual(await readAt(location), batch[index].payload);
    }
    await log.close();
    await assertHolds(options, batch, ['a', 'b', 'c']);
  });

  it('keeps every field of a record', async () => {
    const options = await freshOptions();
    const payload = randomPayload('fields', 77);
    const record = recordOf('fields', payload, {
      kind: 'tail',
      parent: keyOf('tip'),
      fingerprint: keyOf('model'),
      tokens: 3,
      position: 256,
      hasDecodedTokens: true,
      isDurable: true,
      sequence: 9,
      saveId: 4,
      saveIndex: 2,
    });
    const { log } = await DiskLog.open(options);
    await log.append([{ record, payload }]);
    await log.close();
    const { log: again, recovered } = await DiskLog.open(options);
    assert.deepEqual(recovered.payloads[0].record, record);
    assert.equal(recovered.payloads[0].isPending, false);
    assert.deepEqual([recovered.lastSequence, recovered.lastSaveId], [9, 4]);
    await again.close();
  });

  it('goes on in a new segment when it is opened again, and keeps all', async () => {
    const options = await freshOptions();
    const all: LogAppend[] = [];
    for (let round = 0; round < 5; round += 1) {
      const { log } = await DiskLog.open(options);
      const batch = blocks(`round${round}`, 3, 100);
      await log.append(batch);
      all.push(...batch);
      await log.close();
    }
    assert.equal((await readdir(options.directory)).length, 5);
    const names = namesOf(...[0, 1, 2, 3, 4].map((round) => ({ name: `round${round}`, count: 3 })));
    await assertHolds(options, all, names);
  });

  it('writes batches appended at once one after another', async () => {
    const options = await freshOptions();
    const { log } = await DiskLog.open(options);
    const batches = Array.from({ length: 20 }, (_, index) => blocks(`at-once${index}`, 5, 300));
    await Promise.all(batches.map((batch) => log.append(batch)));
    await log.close();
    const names = namesOf(...batches.map((_, index) => ({ name: `at-once${index}`, count: 5 })));
    await assertHolds(options, batches.flat(), names);
  });

  it('waits for the append under way when it is closed', async () => {
    const options = await freshOptions();
    const { log } = await DiskLog.open(options);
    const batch = blocks('closing', 40, 3000);
    const appending = log.append(batch);
    await log.close();
    await appending;
    await assertHolds(options, batch, namesOf({ name: 'closing', count: 40 }));
  });

  it('takes nothing any more once it is closed', async () => {
    const options = await freshOptions();
    const { log } = await DiskLog.open(options);
    await log.append([block('before', 10)]);
    await log.close();
    await assert.rejects(log.append([block('late', 10)]), (error) => isStoreError(error, 'CLOSED'));
    assert.equal((await readdir(options.directory)).length, 1);
    await assertHolds(options, [block('before', 10)], ['before']);
  });

  it('rolls over at the size of a segment', async () => {
    const options = await freshOptions({ budgetBytes: 64 * kib });
    const { log } = await DiskLog.open(options);
    assert.equal(log.segmentBytes, 8 * kib);
    const all = blocks('rolling', 60, 1000);
    for (const one of all) await log.append([one]);
    await log.close();
    const names = await readdir(options.directory);
    assert.equal(names.length, 9); // The seventh record of 1216 bytes passes the size.
    for (const name of names) {
      const { size } = await stat(`${options.directory}/${name}`);
      assert.ok(size < 8 * kib + 1216, `${name} has ${size} bytes`);
    }
    await assertHolds(options, all, namesOf({ name: 'rolling', count: 60 }));
  });

  it('spreads a batch that is larger than a segment over several', async () => {
    const options = await freshOptions({ budgetBytes: 64 * kib });
    const { log } = await DiskLog.open(options);
    const all = blocks('spread', 60, 1000);
    const locations = await log.append(all);
    assert.equal(new Set(locations.map(({ segment }) => segment)).size, 9);
    for (const [index, location] of locations.entries()) {
      assert.deepEqual(await readAt(location), all[index].payload);
    }
    await log.close();
    await assertHolds(options, all, namesOf({ name: 'spread', count: 60 }));
  });

  it('takes a record that is larger than a segment, and seals the segment behind it', async () => {
    const options = await freshOptions({ budgetBytes: 64 * kib });
    const { log } = await DiskLog.open(options);
    const batch = [block('small', 100, 1), block('large', 40 * kib, 2), block('after', 100, 3)];
    const locations = await log.append(batch);
    const numbers = locations.map(({ segment }) => segment.number);
    assert.deepEqual(numbers, [1, 1, 2]);
    await log.close();
    await assertHolds(options, batch, ['small', 'large', 'after']);
  });

  it('makes segments of an eighth of a small budget and of at most 64 of a large one', async () => {
    const cases = [
      [8 * kib, kib],
      [512 * kib * kib, 64 * kib * kib],
      [4096 * kib * kib, 64 * kib * kib],
      [8192 * kib * kib, 128 * kib * kib],
    ];
    for (const [budgetBytes, segmentBytes] of cases) {
      const { log } = await DiskLog.open(await freshOptions({ budgetBytes }));
      assert.equal(log.segmentBytes, segmentBytes);
      await log.close();
    }
  });

  it('drops its oldest segment, and reads under way end well', async () => {
    const options = await freshOptions({ budgetBytes: 64 * kib });
    const { log } = await DiskLog.open(options);
    const all = blocks('dropping', 21, 1000);
    const locations = await log.append(all);
    const before = log.byteLength;
    const reading = readAt(locations[0]);
    await log.dropOldest();
    assert.deepEqual(await reading, all[0].payload);
    assert.ok(log.byteLength <= before - 7 * 1000);
    await log.close();
    await assertHolds(options, all.slice(7), namesOf({ name: 'dropping', count: 21 }));
  });

  it('never drops the segment that it appends to, unless it was sealed', async () => {
    const { log } = await DiskLog.open(await freshOptions());
    assert.equal(log.oldestSealed, undefined);
    await log.append([block('open', 100)]);
    assert.equal(log.oldestSealed, undefined);
    await assert.rejects(log.dropOldest(), AssertionError);
    log.seal();
    assert.ok(log.oldestSealed !== undefined);
    await log.dropOldest();
    assert.equal(log.byteLength, 0);
    await log.append([block('next', 100)]);
    await log.close();
  });

  it('refuses a record that does not fit its payload, and goes on', async () => {
    const options = await freshOptions();
    const { log } = await DiskLog.open(options);
    const wrong = { ...block('wrong', 10), payload: new Uint8Array(11) };
    await assert.rejects(log.append([wrong]), AssertionError);
    const right = block('right', 10);
    await log.append([right]);
    await log.close();
    await assertHolds(options, [right], ['right', 'wrong']);
  });
});

describe('DiskLog and the files in its directory', () => {
  it('leaves a segment of another object store as it is', async () => {
    const options = await freshOptions();
    const foreign = { ...options, storeDigest: randomPayload('other store', 32) };
    const { log: theirs } = await DiskLog.open(foreign);
    await theirs.append(blocks('theirs', 3, 200));
    await theirs.close();
    const path = `${options.directory}/${segmentName(1)}`;
    const before = await readFile(path);
    const { log, recovered } = await DiskLog.open(options);
    assert.deepEqual(recovered.payloads, []);
    const own = blocks('own', 2, 200);
    await log.append(own);
    log.seal();
    while (log.oldestSealed !== undefined) await log.dropOldest();
    await log.append(own);
    await log.close();
    assert.deepEqual(await readFile(path), before);
    await assertHolds(options, own, namesOf({ name: 'own', count: 2 }));
    await assertHolds(foreign, blocks('theirs', 3, 200), namesOf({ name: 'theirs', count: 3 }));
  });

  it('removes what a crash left of a header, and takes its number for a new segment', async () => {
    for (const length of [0, 1, segmentHeaderBytes - 1]) {
      const options = await freshOptions();
      await writeFile(`${options.directory}/${segmentName(5)}`, new Uint8Array(length));
      const { log } = await DiskLog.open(options);
      assert.deepEqual(await readdir(options.directory), []);
      await log.append([block('after', 10)]);
      await log.close();
      await assertHolds(options, [block('after', 10)], ['after']);
    }
  });

  it('does not read or remove what is no segment of its own', async () => {
    const options = await freshOptions();
    const strangers = ['segment-1.log', 'notes.txt', 'owner-1', segmentName(3)];
    for (const name of strangers) {
      await writeFile(`${options.directory}/${name}`, randomPayload(name, 500));
    }
    const { log, recovered } = await DiskLog.open(options);
    assert.deepEqual(recovered.payloads, []);
    assert.equal(log.byteLength, 0);
    await log.append([block('own', 10)]);
    await log.close();
    for (const name of strangers) {
      const bytes = await readFile(`${options.directory}/${name}`);
      assert.deepEqual(new Uint8Array(bytes), randomPayload(name, 500), name);
    }
    await assertHolds(options, [block('own', 10)], ['own']);
  });
});

describe('DiskLog on a full disk', () => {
  // Goal: a batch whose write fails after any number of bytes is rejected whole, and the log is as
  // good as before. Method: the disk is full after n bytes, for every n around the edges of records
  // and steps between; then there is room again, and the log is opened anew.
  it('rejects a batch that was cut off anywhere, and goes on soundly', async () => {
    const before = blocks('before', 2, 150);
    const failing = blocks('failing', 3, 150);
    const later = blocks('later', 2, 150);
    const batchBytes = 3 * 320;
    const names = ['before', 'failing', 'later'].map((name) => ({ name, count: 3 }));
    for (let freeBytes = 0; freeBytes < batchBytes; freeBytes += freeBytes % 64 === 0 ? 1 : 21) {
      const disk = new FullDisk(platform.files);
      const options = await freshOptions({ files: disk.files });
      const { log } = await DiskLog.open(options);
      await log.append(before);
      disk.freeBytes = freeBytes;
      await assert.rejects(log.append(failing), isFull);
      disk.freeBytes = Number.POSITIVE_INFINITY;
      const locations = await log.append(later);
      assert.deepEqual(await readAt(locations[0]), later[0].payload);
      await log.close();
      await assertHolds(options, [...before, ...later], namesOf(...names));
    }
  });

  it('rejects batches as long as the disk is full, and takes the first that fits', async () => {
    const disk = new FullDisk(platform.files);
    const options = await freshOptions({ files: disk.files });
    const { log } = await DiskLog.open(options);
    disk.freeBytes = 0;
    for (let round = 0; round < 3; round += 1) {
      await assert.rejects(log.append(blocks('full', 2, 100)), isFull);
    }
    assert.equal(log.byteLength, 0);
    disk.freeBytes = Number.POSITIVE_INFINITY;
    await log.append(blocks('fits', 2, 100));
    await log.close();
    await assertHolds(options, blocks('fits', 2, 100), namesOf({ name: 'fits', count: 2 }));
  });

  it('never shows wrong bytes when what was cut off cannot be removed', async () => {
    const whole = blocks('stuck', 3, 150);
    for (let freeBytes = 0; freeBytes < 3 * 320; freeBytes += 37) {
      const disk = new FullDisk(platform.files);
      const options = await freshOptions({ files: disk.files });
      const { log } = await DiskLog.open(options);
      await log.append([block('first', 10)]);
      disk.freeBytes = freeBytes;
      disk.isStuck = true;
      await assert.rejects(log.append(whole), isFull);
      disk.freeBytes = Number.POSITIVE_INFINITY;
      const later = block('later', 10);
      await log.append([later]);
      await log.close();
      const { log: again, recovered } = await DiskLog.open(options);
      const names = ['first', 'later', ...namesOf({ name: 'stuck', count: 3 })];
      const found = await recoveredBlocks(recovered, names);
      assert.deepEqual(found.get('first'), block('first', 10).payload);
      assert.deepEqual(found.get('later'), later.payload);
      // Of the rejected batch there may be whole records, first to last, and no others.
      const left = whole.filter((_, index) => found.has(`stuck-${index}`));
      assert.deepEqual(left, whole.slice(0, left.length));
      for (const [index, { payload }] of left.entries()) {
        assert.deepEqual(found.get(`stuck-${index}`), payload);
      }
      await again.close();
    }
  });

  it('passes on a failure that is no fault of the system', async () => {
    const options = await freshOptions();
    const broken: Files = {
      ...options.files,
      open: () => Promise.reject(new AssertionError('a fault of ours')),
    };
    const { log } = await DiskLog.open({ ...options, files: broken });
    await assert.rejects(log.append([block('any', 10)]), AssertionError);
    await log.close();
  });
});
