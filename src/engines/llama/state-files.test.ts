import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isStoreError } from '../../base/errors.ts';
import type { AnonymousFile, OpenFile } from '../../platform/files.ts';
import { withNative } from '../../platform/native.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import type { Platform } from '../../platform/platform.ts';
import { systemError, withHookedFiles } from '../../../test/support/hooked-files.ts';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import { StateFiles } from './state-files.ts';

describe('StateFiles', () => {
  let directory: TemporaryDirectory;
  let memory: string;
  let temporary: string;

  before(async () => {
    directory = await makeTemporaryDirectory('state-files');
    memory = join(directory.path, 'memory');
    temporary = join(directory.path, 'temporary');
    await mkdir(memory);
    await mkdir(temporary);
  });
  after(() => directory.remove());

  it('makes an empty file in memory that only its owner can read', async () => {
    const path = await new StateFiles(machine()).create(1000);
    assert.ok(path.startsWith(`${memory}/wombatkv-${process.pid}-`));
    const { size, mode } = await stat(path);
    assert.equal(size, 0);
    assert.equal(mode & 0o777, 0o600);
  });

  it('gives every file another name', async () => {
    const files = new StateFiles(machine());
    const paths = await Promise.all(Array.from({ length: 20 }, () => files.create(1000)));
    assert.equal(new Set(paths).size, 20);
  });

  it('takes memory while twice the file is free there, else the temporary directory', async () => {
    const files = new StateFiles(machine({ memoryFree: 2000 }));
    assert.ok((await files.create(1000)).startsWith(memory));
    assert.ok((await files.create(1001)).startsWith(temporary));
  });

  it('takes the temporary directory where there is no file system in memory', async () => {
    const platform = machine();
    const host = { ...platform.host, memoryDirectory: undefined };
    assert.ok((await new StateFiles({ ...platform, host }).create(1000)).startsWith(temporary));
  });

  it('takes the temporary directory where memory cannot be looked at or written', async () => {
    const unknown = machine();
    const files = {
      ...unknown.files,
      freeBytes: (path: string) =>
        path === memory ? Promise.reject(systemError('EACCES')) : unknown.files.freeBytes(path),
    };
    assert.ok((await new StateFiles({ ...unknown, files }).create(1000)).startsWith(temporary));
    const readOnly = withHookedFiles(machine(), (call, path) => {
      if (call === 'open' && path.startsWith(memory)) throw systemError('EROFS');
    });
    assert.ok((await new StateFiles(readOnly).create(1000)).startsWith(temporary));
  });

  it('says so when there is no room at all, and makes nothing', async () => {
    const before = await allFiles();
    const files = new StateFiles(machine({ memoryFree: 1999, temporaryFree: 1999 }));
    await assert.rejects(files.create(1000), (error) => {
      return isStoreError(error, 'UNAVAILABLE') && /2000 bytes free/.test(error.message);
    });
    assert.deepEqual(await allFiles(), before);
  });

  it('removes what it made, also when it is gone already', async () => {
    const files = new StateFiles(machine());
    const before = await allFiles();
    const path = await files.create(1000);
    await files.remove(path);
    await files.remove(path);
    assert.deepEqual(await allFiles(), before);
  });

  it('removes what processes left that were killed, and nothing else', async () => {
    const files = new StateFiles(machine());
    const [old, young] = [await files.create(1000), await files.create(1000)];
    const foreign = join(memory, 'wombatkv-notes.state');
    await writeFile(foreign, '');
    const long = new Date(Date.now() - 2 * 3_600_000);
    for (const path of [old, foreign]) await utimes(path, long, long);
    assert.equal(await files.removeLeftovers(), 1);
    const left = await allFiles();
    assert.ok(!left.includes(basename(old)));
    assert.ok(left.includes(basename(young)) && left.includes('wombatkv-notes.state'));
  });

  describe('withFile()', () => {
    const write = async (files: StateFiles, byteLength: number): Promise<string> => {
      let used = '';
      await files.withFile(byteLength, async (state) => {
        used = state.path;
        const end = new Uint8Array(byteLength - 100).fill(8);
        await state.write([new Uint8Array(100).fill(7), end]);
        const written = (await readFile(used)).subarray(0, byteLength);
        assert.deepEqual(written, Buffer.concat([Buffer.alloc(100, 7), end]));
      });
      return used;
    };

    it('lends a new file, and removes it', async () => {
      const files = new StateFiles(machine());
      const before = await allFiles();
      assert.ok((await write(files, 1000)).startsWith(memory));
      assert.deepEqual(await allFiles(), before);
    });

    for (const mode of ['auto', 'off'] as const) {
      it(`lends the kept file again and again, which has no name; native code ${mode}`, async () => {
        const files = new StateFiles(withNative(machine(), mode));
        const before = await allFiles();
        await files.keepOne();
        assert.deepEqual(await allFiles(), before);
        const first = await write(files, 5000);
        assert.ok(first.startsWith('/proc/self/fd/'));
        assert.equal(await write(files, 3000), first);
        await files.close();
        assert.ok((await write(files, 1000)).startsWith(memory));
      });
    }

    it('lends another one while the kept one is used, or for a larger state', async () => {
      const files = new StateFiles(machine());
      await files.keepOne();
      await files.withFile(1000, async (kept) => {
        const other = await write(files, 1000);
        assert.notEqual(other, kept.path);
      });
      await files.withFile(33 * 1024 * 1024, async ({ path }) => {
        assert.ok(path.startsWith(memory));
      });
      await files.close();
    });

    it('keeps the file when its use failed, and closes it when closed meanwhile', async () => {
      const files = new StateFiles(machine());
      await files.keepOne();
      let path = '';
      const failing = files.withFile(1000, async (kept) => {
        path = kept.path;
        throw new Error('refused');
      });
      await assert.rejects(failing, /refused/);
      assert.equal(await write(files, 1000), path);
      await files.withFile(1000, () => files.close());
      await assert.rejects(stat(path), { code: 'ENOENT' });
    });

    it('keeps no descriptor of a file that could not be filled', async () => {
      const open: string[] = [];
      const platform = machine();
      const openAnonymous = async (path: string): Promise<AnonymousFile> => {
        const made = await platform.files.openAnonymous(path);
        open.push(made.path);
        return { ...made, file: refusingWrites(made.file) };
      };
      const files = new StateFiles({ ...platform, files: { ...platform.files, openAnonymous } });
      await files.keepOne();
      assert.equal(open.length, 1);
      await assert.rejects(stat(open[0]), { code: 'ENOENT' });
    });

    it('keeps none where memory is short or there are no such files', async () => {
      for (const platform of [machine({ memoryFree: 1e8 }), withoutNameless(machine())]) {
        const files = new StateFiles(platform);
        await files.keepOne();
        const path = await write(files, 1000);
        assert.ok(path.startsWith(memory) || path.startsWith(temporary));
      }
    });
  });

  it('leaves what it may not look at', async () => {
    const platform = machine();
    const files = { ...platform.files, list: () => Promise.reject(systemError('EACCES')) };
    assert.equal(await new StateFiles({ ...platform, files }).removeLeftovers(), 0);
  });

  /** A machine whose file systems have so many bytes free. */
  function machine({ memoryFree = 1e9, temporaryFree = 1e9 } = {}): Platform {
    const platform = nodePlatform();
    const free = new Map([
      [memory, memoryFree],
      [temporary, temporaryFree],
    ]);
    return {
      ...platform,
      host: { ...platform.host, memoryDirectory: memory, temporaryDirectory: temporary },
      files: { ...platform.files, freeBytes: (path) => Promise.resolve(free.get(path) ?? 0) },
    };
  }

  function refusingWrites(file: OpenFile): OpenFile {
    return {
      read: (into, position) => file.read(into, position),
      write: () => Promise.reject(systemError('ENOSPC')),
      sync: () => file.sync(),
      truncate: (byteLength) => file.truncate(byteLength),
      byteLength: () => file.byteLength(),
      close: () => file.close(),
    };
  }

  function withoutNameless(platform: Platform): Platform {
    const openAnonymous = (): Promise<never> => Promise.reject(systemError('ENOTSUP'));
    return { ...platform, files: { ...platform.files, openAnonymous } };
  }

  async function allFiles(): Promise<string[]> {
    return [...(await readdir(memory)), ...(await readdir(temporary))].sort();
  }
});
