import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { withNative } from './native.ts';
import { nodePlatform } from './node-platform.ts';
import { hugePageBytes, offsetUnitBytes } from './shared-memory.ts';
import type { SharedFile, SharedMemory } from './shared-memory.ts';

const mib = 1024 * 1024;
/** A file system in memory, of which the system makes huge pages. */
const inMemory = '/dev/shm';
const fileBytes = 16 * mib;
/** Between two multiples of a huge page there are two of them and parts of others. */
const start = hugePageBytes - 3 * offsetUnitBytes;
const byteLength = 2 * hugePageBytes + 8 * offsetUnitBytes;

describe('memory of shared files', { skip: withoutNative() ?? withoutMemoryFiles() }, () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(inMemory, 'wombatkv-room-'));
  });

  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const skip = withoutHugePages();
  it('is huge pages where the system has them, and a mapping has each at once', { skip }, () => {
    const path = join(directory, 'file');
    const file = shared().create(path, fileBytes);
    assert.equal(file.reserve(start, byteLength), true);
    const memory = file.map();
    assert.equal(memory[hugePageBytes], 0);
    assert.equal(memory[2 * hugePageBytes], 0);
    // Two bytes were read: of small pages the system maps sixteen about each.
    assert.equal(residentBytes(path), 2 * hugePageBytes);
    memory[hugePageBytes + 5 * offsetUnitBytes] = 7;
    assert.equal(residentBytes(path), 2 * hugePageBytes);
    file.close();
  });

  for (const [where, placeOf] of [
    ['in memory', async () => ({ path: directory, remove: async () => undefined })],
    ['on a disk, which has no huge pages', () => makeTemporaryDirectory('room')],
  ] as const) {
    it(`is what was asked for and no more, of zeros, and goes back whole, ${where}`, async () => {
      const place = await placeOf();
      const path = join(place.path, 'file');
      const file = shared().create(path, fileBytes);
      try {
        assert.equal(file.reserve(start, byteLength), true);
        expectTaken(path, byteLength);
        assert.ok(rangeOf(file).every((byte) => byte === 0));
        expectKept(file, path);
        file.giveBack(start, byteLength);
        expectTaken(path, 0);
      } finally {
        file.close();
        await place.remove();
      }
    });
  }

  it('is taken by another thread too, also of a file that is closed meanwhile', async () => {
    const path = join(directory, 'file');
    const file = shared().create(path, fileBytes);
    const isTaken = file.reserveLater?.(start, byteLength);
    file.close();
    assert.equal(await isTaken, true);
    expectTaken(path, byteLength);
    assert.throws(() => file.reserveLater?.(start, byteLength), { code: 'EBADF' });
  });

  it('is met by a mapping on that thread, if it is to be', async () => {
    for (const [name, mayMeet] of [
      ['met', true],
      ['not-met', false],
    ] as const) {
      const path = join(directory, name);
      const file = shared().create(path, fileBytes);
      const range = file.mapForThreads().subarray(start, start + byteLength);
      assert.equal(await file.reserveLater?.(start, byteLength, mayMeet ? range : undefined), true);
      assert.equal(residentBytes(path), mayMeet ? byteLength : 0);
      assert.ok(range.every((byte) => byte === 0));
      file.close();
    }
    const file = shared().create(join(directory, 'other'), fileBytes);
    const noBytes: unknown = 'no bytes';
    assert.throws(() => file.reserveLater?.(start, byteLength, noBytes as Uint8Array), TypeError);
    file.close();
  });

  it('keeps what was written there before', () => {
    const file = shared().create(join(directory, 'file'), fileBytes);
    const memory = file.map();
    assert.equal(file.reserve(start, 8 * offsetUnitBytes), true);
    memory.fill(9, start, start + 8 * offsetUnitBytes);
    assert.equal(file.reserve(start, byteLength), true);
    assert.ok(memory.subarray(start, start + 8 * offsetUnitBytes).every((byte) => byte === 9));
    assert.equal(memory[start + 8 * offsetUnitBytes], 0);
    file.close();
  });
});

/** A part that is given back in the midst of huge pages takes nothing else with it. */
function expectKept(file: SharedFile, path: string): void {
  const memory = rangeOf(file).fill(5);
  const part = hugePageBytes + 7 * offsetUnitBytes;
  file.giveBack(start + part, 2 * offsetUnitBytes);
  expectTaken(path, byteLength - 2 * offsetUnitBytes);
  assert.equal(memory[part - 1], 5);
  assert.equal(memory[part], 0);
  assert.equal(memory[part + 2 * offsetUnitBytes], 5);
}

/** Reading what has no memory gives it some, so nothing else is read. */
function rangeOf(file: SharedFile): Uint8Array {
  return file.map().subarray(start, start + byteLength);
}

function shared(): SharedMemory {
  const { sharedMemory } = withNative(nodePlatform(), 'auto');
  assert(sharedMemory !== undefined);
  return sharedMemory;
}

/** A disk may count what it notes about the file, too. */
function expectTaken(path: string, expectedBytes: number): void {
  const more = statSync(path).blocks * 512 - expectedBytes;
  const most = path.startsWith(inMemory) ? 0 : 16 * offsetUnitBytes;
  assert.ok(more >= 0 && more <= most, `${more} bytes more are taken than ${expectedBytes}`);
}

/** Memory of the file that this process has mapped. */
function residentBytes(path: string): number {
  const maps = readFileSync('/proc/self/smaps', 'utf8');
  const own = maps.slice(maps.indexOf(path));
  return Number(/^Rss: +(\d+) kB$/m.exec(own)?.[1]) * 1024;
}

function withoutMemoryFiles(): string | false {
  return existsSync(inMemory) ? false : `there is no ${inMemory}`;
}

function withoutHugePages(): string | false {
  const setting = '/sys/kernel/mm/transparent_hugepage/shmem_enabled';
  const [major, minor] = release().split('.').map(Number);
  const isOld = major < 6 || (major === 6 && minor < 1);
  const isOff = !existsSync(setting) || readFileSync(setting, 'utf8').includes('[deny]');
  return isOld || isOff ? `this system makes no huge pages of files: Linux ${release()}` : false;
}
