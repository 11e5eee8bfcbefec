import assert from 'node:assert/strict';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { hugePageBytes, offsetUnitBytes } from '../platform/shared-memory.ts';
import { sharedPaths } from './shared-layout.ts';
import { SharedSegments } from './shared-segments.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import type { SlabBytes } from './slab-memory.ts';

const unit = offsetUnitBytes;
const huge = hugePageBytes;

/** Where no thread gets memory, after some of it. */
function refusingLater(): SharedMemory {
  const memory = withNative(nodePlatform(), 'auto').sharedMemory;
  assert(memory !== undefined);
  return {
    ...memory,
    create: (path, byteLength) => {
      const file = memory.create(path, byteLength);
      file.reserveLater = (start) => Promise.resolve(!file.reserve(start, offsetUnitBytes));
      return file;
    },
  };
}

describe('shared segments', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let directory: string;
  let segments: SharedSegments;

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('segments');
    directory = join(temporary.path, 'memory');
    await mkdir(directory, { mode: 0o700 });
    const { sharedMemory } = withNative(nodePlatform(), 'auto');
    assert(sharedMemory !== undefined);
    segments = new SharedSegments(sharedMemory, directory, 4 * huge);
  });

  afterEach(async () => {
    segments.close();
    await temporary.remove();
  });

  it('begin what may hold huge pages where one begins, and put the rest into what is left', () => {
    assert.deepEqual(take(unit), [0, 0]);
    assert.deepEqual(take(huge + unit), [0, huge]);
    assert.deepEqual(take(huge), [0, 3 * huge]);
    assert.deepEqual(take(3 * unit), [0, unit]);
    assert.deepEqual(take(huge - unit), [0, 2 * huge + unit]);
  });

  it('take another file when no gap has room behind the next beginning of a huge page', () => {
    const [first] = [segments.take(unit), segments.take(7 * huge)];
    assert.deepEqual(take(huge), [1, 0]);
    assert.ok(first !== undefined);
    segments.giveBack(first);
    assert.deepEqual(take(huge), [0, 0]);
  });

  it('join what comes back to the gaps about it', async () => {
    const taken = [unit, 2 * huge, 3 * huge + unit, unit].map((length) => segments.take(length));
    for (const index of [1, 3, 0, 2]) segments.giveBack(taken[index] as SlabBytes);
    assert.equal((await stat(sharedPaths.segment(directory, 0))).blocks, 0);
    assert.deepEqual(take(8 * huge), [0, 0]);
  });

  it('give memory that another thread takes to nobody else meanwhile', async () => {
    const taking = [segments.takeLater(huge), segments.takeLater(huge + unit)];
    assert.deepEqual(take(unit), [0, 2 * huge + unit]);
    const [first, second] = await Promise.all(taking);
    assert.deepEqual([first?.byteOffset, first?.byteLength], [0, huge]);
    assert.deepEqual([second?.byteOffset, second?.byteLength], [huge, huge + unit]);
    segments.giveBack(first as SlabBytes);
    assert.deepEqual(take(huge), [0, 0]);
  });

  it('take back what another thread could not take, and give it to the next one', async () => {
    const refusing = new SharedSegments(refusingLater(), directory, 4 * huge);
    assert.equal(await refusing.takeLater(huge), undefined);
    assert.equal((await stat(sharedPaths.segment(directory, 0))).blocks, 0);
    assert.equal(refusing.take(huge)?.byteOffset, 0);
    refusing.close();
  });

  it('may be closed while another thread takes memory of them', async () => {
    const taking = segments.takeLater(4 * huge);
    segments.close();
    assert.equal((await taking)?.byteLength, 4 * huge);
    assert.equal(await segments.takeLater(huge), undefined);
  });

  /** Number of the file, and where in it. */
  function take(byteLength: number): readonly [number | undefined, number] {
    const memory = segments.take(byteLength);
    assert(memory?.byteLength === byteLength);
    return [segments.numberOf(memory.buffer), memory.byteOffset];
  }
});
