import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { hookedFiles } from '../../test/support/hooked-files.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { Clock } from '../platform/clock.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { objectLimits } from './object-limits.ts';
import { RetainedFiles } from './retained-files.ts';

const platform = nodePlatform();
const directory = await makeTemporaryDirectory('retained');
after(() => directory.remove());

/** A clock whose calls happen when the test says so. */
function manualClock(): { clock: Clock; calls: Set<() => void> } {
  const calls = new Set<() => void>();
  const schedule: Clock['schedule'] = (ms, callback) => {
    assert.equal(ms, objectLimits.retainedMs);
    calls.add(callback);
    return { cancel: () => void calls.delete(callback) };
  };
  return { clock: { ...platform.clock, schedule }, calls };
}

/** Files, and how many of those that they opened are open. */
function countedFiles(): { files: typeof platform.files; open: () => number } {
  let opened = 0;
  let closed = 0;
  const files = hookedFiles(platform.files, (call) => {
    if (call === 'open') opened += 1;
    if (call === 'close') closed += 1;
  });
  return { files, open: () => opened - closed };
}

describe('RetainedFiles', () => {
  it('keeps the inode number of a removed file from being given out again', async () => {
    const path = `${directory.path}/file`;
    const retained = new RetainedFiles(platform.files, manualClock().clock);
    const numbers = new Set<string | undefined>();
    for (let round = 0; round < 20; round += 1) {
      await writeFile(path, 'x');
      numbers.add((await platform.files.status(path))?.identity);
      await retained.retain(path);
      await rm(path);
    }
    assert.equal(numbers.size, 20);
    await retained.close();
  });

  it('lets a file go after its time, and the rest when it is closed', async () => {
    const { clock, calls } = manualClock();
    const { files, open } = countedFiles();
    const retained = new RetainedFiles(files, clock);
    const path = `${directory.path}/timed`;
    await writeFile(path, 'x');
    await retained.retain(path);
    await retained.retain(path);
    assert.equal(open(), 2);
    const [first] = calls;
    first?.();
    assert.equal(open(), 1);
    await retained.close();
    assert.equal(open(), 0);
    assert.equal(calls.size, 0, 'nothing is left to happen later');
  });

  it('holds a bounded number, the newest ones', async () => {
    const { clock, calls } = manualClock();
    const { files, open } = countedFiles();
    const retained = new RetainedFiles(files, clock);
    const path = `${directory.path}/many`;
    await writeFile(path, 'x');
    for (let count = 0; count < objectLimits.retainedMax + 10; count += 1) {
      await retained.retain(path);
    }
    assert.equal(open(), objectLimits.retainedMax);
    assert.equal(calls.size, objectLimits.retainedMax);
    await retained.close();
    assert.equal(open(), 0);
  });

  it('does not mind an absent file', async () => {
    const { clock, calls } = manualClock();
    const retained = new RetainedFiles(platform.files, clock);
    await retained.retain(`${directory.path}/absent`);
    assert.equal(calls.size, 0);
    await retained.close();
  });
});
