import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { nodeFiles } from './node-files.ts';

const directory = await makeTemporaryDirectory('node-files');
after(() => directory.remove());

let names = 0;

function freshPath(): string {
  names += 1;
  return `${directory.path}/${names}`;
}

/** A fresh file with the text. */
async function fileWith(text: string): Promise<string> {
  const path = freshPath();
  await writeFile(path, text);
  return path;
}

describe('nodeFiles: reading', () => {
  it('reads less than asked for only at the end of the file', async () => {
    const file = await nodeFiles.open(await fileWith('0123456789'), 'read');
    const into = new Uint8Array(20).fill(42);
    assert.equal(await file.read(into.subarray(0, 4), 3), 4);
    assert.equal(Buffer.from(into.subarray(0, 5)).toString(), '3456*');
    assert.equal(await file.read(into, 6), 4);
    assert.equal(Buffer.from(into.subarray(0, 5)).toString(), '6789*', 'the rest is untouched');
    assert.equal(await file.read(into, 10), 0);
    assert.equal(await file.read(into, 1000), 0);
    assert.equal(await file.read(new Uint8Array(0), 0), 0);
    assert.equal(await file.byteLength(), 10);
    await file.close();
  });

  it('reads what one system call gives in pieces', async () => {
    // The pseudo-files of /proc give at most a page at a time and have no length.
    const file = await nodeFiles.open('/proc/self/maps', 'read');
    const into = new Uint8Array(3 * 1024 * 1024);
    const length = await file.read(into, 0);
    assert.ok(length > 8192, `${length} bytes`);
    assert.ok(Buffer.from(into.subarray(0, length)).toString().includes('[stack]'));
    await file.close();
  });

  it('reads into shared memory, and no byte beside its view', async () => {
    const file = await nodeFiles.open(await fileWith('shared'), 'read');
    const slab = new Uint8Array(new SharedArrayBuffer(16));
    assert.equal(await file.read(slab.subarray(4, 8), 1), 4);
    assert.deepEqual(Array.from(slab.subarray(3, 9)), [0, ...Buffer.from('hare'), 0]);
    await file.close();
  });

  it('reads small files whole and refuses longer ones', async () => {
    const path = await fileWith('12345');
    assert.equal(Buffer.from(await nodeFiles.readSmall(path, 5)).toString(), '12345');
    assert.equal((await nodeFiles.readSmall(await fileWith(''), 0)).length, 0);
    await assert.rejects(nodeFiles.readSmall(path, 4), { code: 'EFBIG' });
    await assert.rejects(nodeFiles.readSmall(freshPath(), 4), { code: 'ENOENT' });
  });
});

describe('nodeFiles: writing', () => {
  it('writes thousands of buffers in order, empty ones among them', async () => {
    const path = freshPath();
    const buffers = Array.from({ length: 5000 }, (_, i) => Buffer.from(i % 7 === 0 ? '' : `${i};`));
    const file = await nodeFiles.open(path, 'create-new');
    await file.write([Buffer.from('begin:')], 0);
    await file.write(buffers, 6);
    await file.sync();
    assert.equal(await readFile(path, 'utf8'), `begin:${Buffer.concat(buffers).toString()}`);
    await file.close();
  });

  it('writes exactly at, below and above the bound of one system call', async () => {
    for (const count of [511, 512, 513, 1024, 1025, 1537]) {
      const path = freshPath();
      const buffers = Array.from({ length: count }, (_, i) => Uint8Array.of(i & 255, i >> 8));
      const file = await nodeFiles.open(path, 'create-new');
      await file.write(buffers, 0);
      await file.close();
      assert.ok(Buffer.concat(buffers).equals(await readFile(path)), `${count} buffers`);
    }
  });

  it('writes nothing, and writes at a position beyond the end', async () => {
    const path = freshPath();
    const file = await nodeFiles.open(path, 'create-new');
    await file.write([], 0);
    await file.write([new Uint8Array(0)], 0);
    assert.equal(await file.byteLength(), 0);
    await file.write([Buffer.from('end')], 5);
    assert.deepEqual(await readFile(path), Buffer.from('\0\0\0\0\0end'));
    await file.truncate(6);
    assert.equal(await file.byteLength(), 6);
    await file.close();
  });

  it('writes from shared memory', async () => {
    const path = freshPath();
    const slab = new Uint8Array(new SharedArrayBuffer(10)).fill(65);
    const file = await nodeFiles.open(path, 'create-new');
    await file.write([slab.subarray(0, 3), slab.subarray(7)], 0);
    await file.close();
    assert.equal(await readFile(path, 'utf8'), 'AAAAAA');
  });

  it('fails when the file is open for reading alone', async () => {
    const file = await nodeFiles.open(await fileWith('x'), 'read');
    await assert.rejects(file.write([Buffer.from('y')], 0), { code: 'EBADF' });
    await file.close();
  });
});

describe('nodeFiles: opening', () => {
  it('makes new files for their owner alone, and only where there is none', async () => {
    const path = freshPath();
    await (await nodeFiles.open(path, 'create-new')).close();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await assert.rejects(nodeFiles.open(path, 'create-new'), { code: 'EEXIST' });
  });

  it('empties a file that it replaces, and keeps one that it opens for change', async () => {
    const path = await fileWith('before');
    const changed = await nodeFiles.open(path, 'read-write');
    await changed.write([Buffer.from('AF')], 2);
    await changed.close();
    assert.equal(await readFile(path, 'utf8'), 'beAFre');
    await (await nodeFiles.open(path, 'create-or-replace')).close();
    assert.equal(await readFile(path, 'utf8'), '');
    await assert.rejects(nodeFiles.open(freshPath(), 'read'), { code: 'ENOENT' });
    await assert.rejects(nodeFiles.open(freshPath(), 'read-write'), { code: 'ENOENT' });
  });
});

describe('nodeFiles: names', () => {
  it('links a file under a second name, unless that is taken', async () => {
    const [path, second] = [await fileWith('linked'), freshPath()];
    await nodeFiles.link(path, second);
    assert.equal(await readFile(second, 'utf8'), 'linked');
    const [a, b] = [await nodeFiles.status(path), await nodeFiles.status(second)];
    assert.equal(a?.identity, b?.identity);
    await assert.rejects(nodeFiles.link(path, second), { code: 'EEXIST' });
    await assert.rejects(nodeFiles.link(path, path), { code: 'EEXIST' });
    await assert.rejects(nodeFiles.link(freshPath(), freshPath()), { code: 'ENOENT' });
    assert.equal(await nodeFiles.remove(path), true);
    assert.equal(await readFile(second, 'utf8'), 'linked');
  });

  it('links once when many try at once', async () => {
    const [path, second] = [await fileWith('raced'), freshPath()];
    const tries = Array.from({ length: 16 }, () => nodeFiles.link(path, second));
    const results = await Promise.allSettled(tries);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  it('renames over what is there', async () => {
    const [path, other] = [await fileWith('new'), await fileWith('old')];
    const identity = (await nodeFiles.status(path))?.identity;
    await nodeFiles.rename(path, other);
    assert.equal(await readFile(other, 'utf8'), 'new');
    assert.equal((await nodeFiles.status(other))?.identity, identity);
    assert.equal(await nodeFiles.status(path), undefined);
  });

  it('tells what a path is, without following links', async () => {
    const path = await fileWith('12345');
    const status = await nodeFiles.status(path);
    assert.equal(status?.kind, 'file');
    assert.equal(status.byteLength, 5);
    assert.ok(Math.abs(status.modifiedMs - Date.now()) < 60_000);
    assert.ok(status.changedMs >= status.modifiedMs - 1);
    assert.equal((await nodeFiles.status(directory.path))?.kind, 'directory');
    const link = freshPath();
    await symlink(path, link);
    assert.equal((await nodeFiles.status(link))?.kind, 'other');
    assert.equal(await nodeFiles.status(freshPath()), undefined);
    assert.equal(await nodeFiles.status(`${path}/below-a-file`), undefined);
  });

  it('removes files and empty directories, and says whether it did', async () => {
    const path = await fileWith('x');
    assert.equal(await nodeFiles.remove(path), true);
    assert.equal(await nodeFiles.remove(path), false);
    const parent = freshPath();
    await mkdir(`${parent}/child`, { recursive: true });
    assert.equal(await nodeFiles.removeDirectory(parent), false);
    assert.equal(await nodeFiles.removeDirectory(`${parent}/child`), true);
    assert.equal(await nodeFiles.removeDirectory(parent), true);
    assert.equal(await nodeFiles.removeDirectory(parent), false);
  });

  it('makes directories with their parents, for their owner alone', async () => {
    const path = `${freshPath()}/a/b`;
    await nodeFiles.makeDirectory(path);
    await nodeFiles.makeDirectory(path);
    for (const made of [path, `${path}/..`, `${path}/../..`]) {
      assert.equal((await stat(made)).mode & 0o777, 0o700);
    }
    const parent = freshPath();
    await mkdir(parent);
    await chmod(parent, 0o755);
    await nodeFiles.makeDirectory(`${parent}/child`);
    assert.equal((await stat(parent)).mode & 0o777, 0o755, 'those that exist stay as they are');
  });

  it('makes directories below one another at once', async () => {
    const path = freshPath();
    const all = ['a', 'a/b', 'a/b/c', 'a/b/d', 'a/b/c/e'].map((name) => `${path}/${name}`);
    await Promise.all([...all, ...all].map((each) => nodeFiles.makeDirectory(each)));
    for (const each of all) assert.ok((await stat(each)).isDirectory());
  });

  it('opens a file without a name, which its path opens again while it is open', async () => {
    const directory = freshPath();
    await mkdir(directory);
    const { path, file } = await nodeFiles.openAnonymous(directory);
    assert.deepEqual(await readdir(directory), []);
    await file.write([Uint8Array.of(1, 2, 3)], 0);
    assert.deepEqual([...(await readFile(path))], [1, 2, 3]);
    await file.close();
    await assert.rejects(readFile(path), { code: 'ENOENT' });
    await assert.rejects(nodeFiles.openAnonymous(freshPath()), { code: 'ENOENT' });
  });

  it('makes no directory where none can be: in a file, and where the system allows none', async () => {
    const file = freshPath();
    await writeFile(file, '');
    await assert.rejects(nodeFiles.makeDirectory(file), { code: 'EEXIST' });
    await assert.rejects(nodeFiles.makeDirectory(`${file}/a/b`), { code: 'ENOTDIR' });
    await assert.rejects(nodeFiles.makeDirectory('/proc/wombatkv/a/b'), { code: 'ENOENT' });
  });

  it('lists names with their kinds, and nothing for an absent directory', async () => {
    const parent = freshPath();
    await mkdir(`${parent}/directory`, { recursive: true });
    await writeFile(`${parent}/file`, '');
    await symlink('/nowhere', `${parent}/link`);
    const entries = [...(await nodeFiles.list(parent))].sort((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(entries, [
      { name: 'directory', kind: 'directory' },
      { name: 'file', kind: 'file' },
      { name: 'link', kind: 'other' },
    ]);
    assert.deepEqual(await nodeFiles.list(freshPath()), []);
  });

  it('syncs directories and knows how much room is left', async () => {
    await nodeFiles.syncDirectory(directory.path);
    await assert.rejects(nodeFiles.syncDirectory(freshPath()), { code: 'ENOENT' });
    assert.ok((await nodeFiles.freeBytes(directory.path)) > 0);
    assert.equal(typeof (await nodeFiles.isLocalFileSystem(directory.path)), 'boolean');
  });
});

describe('nodeFiles: files that nobody closes', () => {
  it('stay open until the process ends, without a complaint on standard error', async () => {
    const code = `
      const { nodeFiles } = await import(${JSON.stringify(new URL('./node-files.js', import.meta.url))});
      const { readdirSync } = await import('node:fs');
      let file = await nodeFiles.open(${JSON.stringify(await fileWith('0123456789'))}, 'read');
      file = undefined;
      const before = readdirSync('/proc/self/fd').length;
      for (let i = 0; i < 5; i += 1) {
        globalThis.gc();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      console.log(readdirSync('/proc/self/fd').length - before);`;
    const args = ['--expose-gc', '--input-type=module', '--eval', code];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.deepEqual({ stdout, stderr }, { stdout: '0\n', stderr: '' });
  });
});
