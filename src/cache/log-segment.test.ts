import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { AssertionError } from '../base/assert.ts';
import { systemErrorCode } from '../base/errors.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { hookedFiles, systemError } from '../../test/support/hooked-files.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { LogSegment, segmentName, segmentNumber } from './log-segment.ts';
import { segmentHeaderBytes } from './segment-header.ts';

const { files, random } = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const directory = await makeTemporaryDirectory('log-segment');
after(() => directory.remove());

let made = 0;
function freshPath(): string {
  made += 1;
  return `${directory.path}/${segmentName(made)}`;
}

function create(path: string, number = 7): Promise<LogSegment> {
  return LogSegment.create({ files, random, path, number, storeDigest });
}

describe('the name of a segment', () => {
  it('has ten digits and gives its number back', () => {
    assert.equal(segmentName(42), 'segment-0000000042.log');
    assert.equal(segmentNumber(segmentName(42)), 42);
    assert.equal(segmentNumber(segmentName(2 ** 32 - 1)), 2 ** 32 - 1);
  });

  it('is told from other names', () => {
    for (const name of [
      'segment-42.log',
      'segment-0000000042.log.old',
      'xsegment-0000000042.log',
    ]) {
      assert.equal(segmentNumber(name), undefined, name);
    }
  });
});

describe('the header of a segment', () => {
  it('has the bytes that docs/FORMAT.md draws', async () => {
    const path = freshPath();
    const hex = (count: number): string => 'c3'.repeat(count);
    const fixed = { ...random, hex };
    const segment = await LogSegment.create({ files, random: fixed, path, number: 7, storeDigest });
    await segment.close();
    const bytes = await readFile(path);
    const expected = [
      '574b5653' + '0100' + '0000' + '07000000', // magic, version, zeros, number
      'c3'.repeat(16), // salt
      Buffer.from(storeDigest).toString('hex'),
    ];
    assert.equal(bytes.toString('hex', 0, 60), expected.join(''));
    assert.equal(bytes.length, segmentHeaderBytes);
  });

  it('is refused when any bit of it is flipped', async () => {
    const path = freshPath();
    await (await create(path)).close();
    const bytes = await readFile(path);
    for (let bit = 0; bit < 8 * segmentHeaderBytes; bit += 1) {
      bytes[bit >> 3] ^= 1 << (bit & 7);
      await writeFile(path, bytes);
      const opened = await LogSegment.open({ files, path, number: 7, storeDigest });
      assert.equal(opened, undefined, `bit ${bit}`);
      bytes[bit >> 3] ^= 1 << (bit & 7);
    }
  });

  it('is refused when it is cut off, or belongs to another number or store', async () => {
    const path = freshPath();
    await (await create(path)).close();
    const bytes = await readFile(path);
    const otherDigest = randomPayload('another', 32);
    const open = (number: number, digest: Uint8Array): Promise<LogSegment | undefined> =>
      LogSegment.open({ files, path, number, storeDigest: digest });
    assert.equal(await open(8, storeDigest), undefined);
    assert.equal(await open(7, otherDigest), undefined);
    const whole = await open(7, storeDigest);
    assert.equal(whole?.byteLength, segmentHeaderBytes);
    await whole.close();
    for (const length of [0, 1, 63]) {
      await writeFile(path, bytes.subarray(0, length));
      assert.equal(await open(7, storeDigest), undefined, `${length} bytes`);
    }
  });

  it('leaves no file behind when it cannot be written', async () => {
    const path = freshPath();
    const broken = hookedFiles(files, (call) => {
      if (call === 'write') throw systemError('ENOSPC');
    });
    const creating = LogSegment.create({ files: broken, random, path, number: 7, storeDigest });
    await assert.rejects(creating, (error) => systemErrorCode(error) === 'ENOSPC');
    assert.equal(await files.status(path), undefined);
  });

  it('is never written over a file that is there', async () => {
    const path = freshPath();
    await writeFile(path, 'precious');
    await assert.rejects(create(path), (error) => systemErrorCode(error) === 'EEXIST');
    assert.equal(await readFile(path, 'utf8'), 'precious');
  });
});

describe('a segment', () => {
  it('gives back what was appended, and tells where it ends', async () => {
    const segment = await create(freshPath());
    const payload = randomPayload('segment', 1000);
    await segment.append([payload.subarray(0, 300), payload.subarray(300)], 1000);
    assert.equal(segment.byteLength, segmentHeaderBytes + 1000);
    const read = new Uint8Array(1000);
    assert.equal(await segment.read(read, segmentHeaderBytes), true);
    assert.deepEqual(read, payload);
    assert.equal(await segment.read(read, segmentHeaderBytes + 1), false);
    await segment.close();
  });

  it('stays open for readers under way, also when its name is gone', async () => {
    const path = freshPath();
    const segment = await create(path);
    await segment.append([randomPayload('late', 5000)], 5000);
    const read = new Uint8Array(5000);
    const reading = segment.read(read, segmentHeaderBytes);
    await files.remove(path);
    await segment.close();
    assert.equal(await reading, true);
    assert.deepEqual(read, randomPayload('late', 5000));
  });

  it('is closed once', async () => {
    const segment = await create(freshPath());
    await segment.close();
    await assert.rejects(segment.close(), AssertionError);
  });
});
