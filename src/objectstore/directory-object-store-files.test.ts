import assert from 'node:assert/strict';
import {
  cp,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import { after, describe, it } from 'node:test';
import { inTime, rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { hookedFiles, systemError, withHookedFiles } from '../../test/support/hooked-files.ts';
import type { FileCall, FileHook } from '../../test/support/hooked-files.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError } from '../base/errors.ts';
import type { Files } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { DirectoryObjectStore } from './directory-object-store.ts';
import { parseObjectKey } from './object-key.ts';
import { objectLimits } from './object-limits.ts';
import type { ObjectStore } from './object-store.ts';
import { goldenPath } from '../../test/golden/golden.ts';

const platform = nodePlatform();
const directory = await makeTemporaryDirectory('store-files');
after(() => directory.remove());

const hex = '0123456789abcdef'.repeat(4);
const blockKey = parseObjectKey(`kv/cabi/default/wombatkv/v2/block/01/${hex}`);
const ifAbsent = { condition: { kind: 'if-absent' } } as const;
let roots = 0;

function freshRoot(): string {
  roots += 1;
  return `${directory.path}/root-${roots}`;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path, { recursive: true })).toSorted();
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await store.list('')).objects.map(({ key }) => key);
}

describe('DirectoryObjectStore on disk', () => {
  it('keeps the plain bytes under the key of a block', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    await store.put(blockKey, [bytes('frame')], ifAbsent);
    assert.equal(await readFile(`${root}/${blockKey}`, 'utf8'), 'frame');
    assert.deepEqual(await readdir(`${root}/.tmp`), []);
  });

  it('has only a few objects open for reading at once', async () => {
    const root = freshRoot();
    const keys = Array.from({ length: 12 }, (_, i) => parseObjectKey(`objects/${i}`));
    const writer = new DirectoryObjectStore(platform, root);
    for (const key of keys) await writer.put(key, [bytes(key)]);
    let open = 0;
    let openMost = 0;
    const store = new DirectoryObjectStore(
      withHookedFiles(platform, (call) => {
        if (call === 'open') openMost = Math.max(openMost, (open += 1));
        if (call === 'close') open -= 1;
      }),
      root,
    );
    const bodies = await Promise.all(keys.map((key) => store.get(key)));
    assert.deepEqual(
      bodies.map((body) => new TextDecoder().decode(body?.bytes)),
      keys,
    );
    assert.equal(openMost, objectLimits.directoryReadsMax);
  });

  it('serves the tree of a copied bucket as it is', async () => {
    const source = goldenPath('rust-bucket');
    const root = freshRoot();
    await cp(source, root, { recursive: true });
    const files = (await readdir(`${root}/kv`, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath}/${entry.name}`.slice(root.length + 1));
    assert.ok(files.length > 0);
    const store = new DirectoryObjectStore(platform, root);
    assert.deepEqual(await keysOf(store), files.toSorted());
    for (const file of files) {
      const body = await store.get(parseObjectKey(file));
      assert.deepEqual(Buffer.from(body?.bytes ?? []), await readFile(`${root}/${file}`));
    }
  });

  it('keeps hostile keys inside its root', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    const before = await readdir(directory.path);
    const keys = [
      '../escaped',
      '../../etc/x',
      '/etc/x',
      '.tmp/put-1',
      '.tmp',
      '..',
      '.',
      'a/../../x',
    ];
    for (const key of keys) await store.put(parseObjectKey(key), [bytes(key)]);
    assert.deepEqual(await readdir(`${root}/.tmp`), []);
    assert.deepEqual(
      (await readdir(directory.path)).filter((name) => !before.includes(name)),
      [`root-${roots}`],
    );
    assert.deepEqual(await keysOf(store), keys.toSorted());
  });

  it('does not list what is not its own', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    await store.put(parseObjectKey('a/b'), [bytes('mine')]);
    await mkdir(`${root}/lost+found`);
    await mkdir(`${root}/a/${hex}`);
    await writeFile(`${root}/README.txt`, 'foreign');
    await writeFile(`${root}/a/.DS_Store`, 'foreign');
    await writeFile(`${root}/.tmp/put-of-another-writer`, 'half');
    await symlink('/etc/hostname', `${root}/a/b3=${hex}`);
    assert.deepEqual(await keysOf(store), ['a/b']);
    const odd = [parseObjectKey(`a/${hex}`), parseObjectKey(`a/b3=${hex}`)];
    for (const key of odd) await rejectsWith('UNAVAILABLE', store.get(key));
  });

  it('removes the directories that a delete leaves empty, and no others', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    const [near, far] = [parseObjectKey('a/b/c'), parseObjectKey('a/x/y/z')];
    await store.put(near, []);
    await store.put(far, []);
    await store.delete(far);
    assert.deepEqual(await namesIn(root), ['.tmp', 'a', 'a/b', 'a/b/c%o']);
    await store.delete(near);
    assert.deepEqual(await namesIn(root), ['.tmp']);
  });

  it('gives another tag when a file gets the inode and length of the one before', async () => {
    // Where the clock of the file system ticks slowly, times alone would not tell them apart.
    const tickMs = 10;
    const coarse: Platform = {
      ...platform,
      files: {
        ...platform.files,
        status: async (path) => {
          const status = await platform.files.status(path);
          if (status === undefined) return undefined;
          return { ...status, modifiedMs: status.modifiedMs - (status.modifiedMs % tickMs) };
        },
      },
    };
    const store = new DirectoryObjectStore(coarse, freshRoot());
    const tags = new Set<string | undefined>();
    for (let round = 0; round < 40; round += 1) {
      await store.put(blockKey, [bytes(`${10 + round}`)]);
      tags.add((await store.head(blockKey))?.etag);
      if (round % 2 === 1) await store.delete(blockKey);
    }
    assert.equal(tags.size, 40);
    await store.close();
  });
});

describe('DirectoryObjectStore and its root', () => {
  it('is a bucket without objects until the first put makes it', async () => {
    const root = `${freshRoot()}/deep/down`;
    const store = new DirectoryObjectStore(platform, root);
    assert.equal(await store.get(blockKey), undefined);
    assert.equal(await store.head(blockKey), undefined);
    assert.deepEqual(await keysOf(store), []);
    await store.delete(blockKey);
    await rejectsWith('INVALID', store.get(blockKey, { range: { offset: -1, length: 1 } }));
    await assert.rejects(readdir(dirname(root)), { code: 'ENOENT' });
    await store.put(blockKey, [bytes('frame')]);
    assert.deepEqual(await keysOf(store), [blockKey]);
  });

  it('is UNAVAILABLE when it is gone, and is not made anew', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    await store.put(blockKey, [bytes('frame')]);
    await rename(root, `${root}-unmounted`);
    const failing = async (): Promise<void> => {
      await rejectsWith('UNAVAILABLE', store.get(blockKey));
      await rejectsWith('UNAVAILABLE', store.head(blockKey));
      await rejectsWith('UNAVAILABLE', store.list(''));
      await rejectsWith('UNAVAILABLE', store.delete(blockKey));
      await rejectsWith('UNAVAILABLE', store.put(blockKey, [bytes('frame')], ifAbsent));
      await rejectsWith('UNAVAILABLE', store.put(blockKey, [bytes('frame')]));
    };
    await failing();
    await assert.rejects(readdir(root), { code: 'ENOENT' });
    // What an unmounted file system leaves behind.
    await mkdir(root);
    await failing();
    assert.deepEqual(await readdir(root), []);
    await rm(root, { recursive: true });
    await rename(`${root}-unmounted`, root);
    assert.equal((await store.get(blockKey))?.bytes.length, 5);
  });

  it('may be a symbolic link to a directory', async () => {
    const root = freshRoot();
    await mkdir(`${root}-real`);
    await symlink(`${root}-real`, root);
    const store = new DirectoryObjectStore(platform, root);
    assert.deepEqual(await keysOf(store), []);
    await store.put(blockKey, [bytes('frame')]);
    assert.equal(await readFile(`${root}-real/${blockKey}`, 'utf8'), 'frame');
  });

  it('is UNAVAILABLE when it, or a directory in it, is a file', async () => {
    const root = freshRoot();
    await writeFile(root, 'not a directory');
    const store = new DirectoryObjectStore(platform, root);
    await rejectsWith('UNAVAILABLE', store.get(blockKey));
    await rejectsWith('UNAVAILABLE', store.list(''));
    await rejectsWith('UNAVAILABLE', store.put(blockKey, [], ifAbsent));
    assert.equal(await readFile(root, 'utf8'), 'not a directory');
    const other = freshRoot();
    await mkdir(other);
    await writeFile(`${other}/kv`, 'in the way');
    const blocked = new DirectoryObjectStore(platform, other);
    await rejectsWith('UNAVAILABLE', blocked.put(blockKey, []));
    assert.deepEqual(await readdir(`${other}/.tmp`), []);
  });
});

/** The file calls that make names and bytes, in order, without the random part of names. */
function recorder(root: string): { hook: FileHook; calls: string[] } {
  const calls: string[] = [];
  const noted: readonly FileCall[] = ['write', 'sync', 'link', 'rename', 'syncDirectory'];
  const hook: FileHook = (call, path) => {
    if (!noted.includes(call)) return;
    const short = path === root ? '.' : path.replace(`${root}/`, '').replace(/put-.*/, 'put');
    calls.push(`${call} ${short.startsWith(root) ? short.slice(root.length) : short}`);
  };
  return { hook, calls };
}

describe('DirectoryObjectStore durability', () => {
  it('syncs the bytes before the name, and every new name on the way', async () => {
    const root = freshRoot();
    const { hook, calls } = recorder(root);
    const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
    await store.put(parseObjectKey('a/b/c'), [bytes('body')], ifAbsent);
    assert.deepEqual(calls, [
      'syncDirectory .',
      `syncDirectory ${directory.path}`,
      ...['write .tmp/put', 'sync .tmp/put', 'link a/b/c%o', 'link a/b/c%o'],
      ...['syncDirectory a/b', 'syncDirectory a', 'syncDirectory .'],
      `syncDirectory ${directory.path}`,
    ]);
    calls.length = 0;
    await store.put(parseObjectKey('a/b/d'), [bytes('body')], ifAbsent);
    assert.deepEqual(calls, [
      ...['write .tmp/put', 'sync .tmp/put', 'link a/b/d%o', 'syncDirectory a/b'],
    ]);
    calls.length = 0;
    await store.put(parseObjectKey('a/b/d'), [bytes('other')]);
    assert.deepEqual(calls, [
      ...['write .tmp/put', 'sync .tmp/put', 'rename a/b/d%o', 'syncDirectory a/b'],
    ]);
    calls.length = 0;
    await store.delete(parseObjectKey('a/b/d'));
    assert.deepEqual(calls, ['syncDirectory a/b']);
  });

  it('makes the work of another writer durable before it says present, and writes nothing', async () => {
    const root = freshRoot();
    await new DirectoryObjectStore(platform, root).put(parseObjectKey('a/b'), [bytes('body')]);
    const { hook, calls } = recorder(root);
    const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
    await store.put(parseObjectKey('a/b'), [bytes('other')], ifAbsent);
    assert.deepEqual(calls, [
      ...['syncDirectory a', 'syncDirectory .', `syncDirectory ${directory.path}`],
    ]);
  });

  it('syncs names again that a delete removed and a put made anew', async () => {
    const root = freshRoot();
    const { hook, calls } = recorder(root);
    const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
    await store.put(parseObjectKey('a/b'), []);
    await store.delete(parseObjectKey('a/b'));
    calls.length = 0;
    await store.put(parseObjectKey('a/b'), []);
    assert.deepEqual(calls.slice(-2), ['syncDirectory a', 'syncDirectory .']);
  });
});

describe('DirectoryObjectStore and directories that others remove', () => {
  it('syncs names again that another process removed and a put made anew', async () => {
    const root = freshRoot();
    const { hook, calls } = recorder(root);
    const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
    await store.put(parseObjectKey('a/b'), [], ifAbsent);
    await new DirectoryObjectStore(platform, root).delete(parseObjectKey('a/b'));
    calls.length = 0;
    await store.put(parseObjectKey('a/b'), [], ifAbsent);
    assert.deepEqual(calls.slice(-2), ['syncDirectory a', 'syncDirectory .']);
  });

  it('syncs names again when a delete removes directories while a put is under way', async () => {
    const root = freshRoot();
    const { hook, calls } = recorder(root);
    const [reached, goOn] = [deferred<void>(), deferred<void>()];
    const store = new DirectoryObjectStore(
      withHookedFiles(platform, async (call, path) => {
        if (call === 'link' && path.endsWith('/new%o')) {
          reached.resolve();
          await goOn.promise;
        }
        await hook(call, path);
      }),
      root,
    );
    await store.put(parseObjectKey('a/old'), [], ifAbsent);
    const putting = store.put(parseObjectKey('a/new'), [], ifAbsent);
    await reached.promise;
    await store.delete(parseObjectKey('a/old'));
    // Another process makes the directory again, and has not synced its name.
    await mkdir(`${root}/a`);
    calls.length = 0;
    goOn.resolve();
    await putting;
    assert.deepEqual(calls, [
      ...['link a/new%o', 'syncDirectory a'],
      ...['syncDirectory a', 'syncDirectory .'],
    ]);
  });
});

describe('DirectoryObjectStore and one hand-over', () => {
  it('puts a new object in a directory that is there by one list of steps', async () => {
    const root = freshRoot();
    const orders: string[][] = [];
    let isRecording = false;
    const files: Files = {
      ...hookedFiles(platform.files, (call) => assert.ok(!isRecording, `${call} by itself`)),
      steps: (steps, signal) => {
        orders.push(steps.map(({ kind }) => kind));
        return platform.files.steps(steps, signal);
      },
    };
    const store = new DirectoryObjectStore({ ...platform, files }, root);
    await store.put(parseObjectKey('a/b'), [bytes('first')], ifAbsent);
    orders.length = 0;
    isRecording = true;
    assert.equal((await store.put(parseObjectKey('a/c'), [], ifAbsent)).outcome, 'stored');
    assert.deepEqual(orders, [['expect-absent', 'write-new', 'link', 'sync-directory', 'remove']]);
  });
});

describe('DirectoryObjectStore and faults of the system', () => {
  const codes = ['ENOSPC', 'EACCES', 'EROFS', 'EMFILE', 'EIO', 'EDQUOT', 'EXDEV', 'ESTALE'];

  it('maps them to UNAVAILABLE with cause and path, and leaves nothing behind', async () => {
    const steps: readonly FileCall[] = [
      'open',
      'status',
      'write',
      'sync',
      'link',
      'rename',
      'syncDirectory',
    ];
    for (const [index, step] of steps.entries()) {
      const code = codes[index % codes.length] ?? '';
      const root = freshRoot();
      await new DirectoryObjectStore(platform, root).put(parseObjectKey('before'), []);
      const hook: FileHook = (call) => {
        if (call === step) throw systemError(code);
      };
      const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
      const options = step === 'rename' ? {} : ifAbsent;
      await assert.rejects(store.put(blockKey, [bytes('body')], options), (error) => {
        assert.ok(isStoreError(error, 'UNAVAILABLE'), String(error));
        assert.equal((error.cause as { code?: string }).code, code);
        assert.match(error.message, new RegExp(`put of ${blockKey}.*${code}`));
        return true;
      });
      assert.deepEqual(await readdir(`${root}/.tmp`), [], step);
      const survivor = new DirectoryObjectStore(platform, root);
      const body = await survivor.get(blockKey);
      // Only a failed sync of the directory comes after the name.
      assert.equal(body !== undefined, step === 'syncDirectory', step);
    }
  });

  it('maps them for reads, lists and deletes too', async () => {
    const root = freshRoot();
    await new DirectoryObjectStore(platform, root).put(blockKey, [bytes('body')]);
    const failing = (step: FileCall): DirectoryObjectStore =>
      new DirectoryObjectStore(
        withHookedFiles(platform, (call) => {
          if (call === step) throw systemError('EMFILE');
        }),
        root,
      );
    for (const step of ['open', 'status', 'read'] as const) {
      await rejectsWith('UNAVAILABLE', failing(step).get(blockKey));
    }
    await rejectsWith('UNAVAILABLE', failing('status').head(blockKey));
    await rejectsWith('UNAVAILABLE', failing('list').list(''));
    await rejectsWith('UNAVAILABLE', failing('status').list(''));
    await rejectsWith('UNAVAILABLE', failing('open').delete(blockKey));
    const after = new DirectoryObjectStore(platform, root);
    assert.equal((await after.get(blockKey))?.bytes.length, 4);
  });

  it('is UNAVAILABLE when a file shrinks while it is read', async () => {
    const shrinking = async (toBytes: number): Promise<DirectoryObjectStore> => {
      const root = freshRoot();
      await new DirectoryObjectStore(platform, root).put(blockKey, [new Uint8Array(5000)]);
      const hook: FileHook = async (call, path) => {
        if (call === 'read') await truncate(path, toBytes);
      };
      return new DirectoryObjectStore(withHookedFiles(platform, hook), root);
    };
    const store = await shrinking(100);
    await assert.rejects(store.get(blockKey), /read 100 of 5000 bytes: file shrank/);
    await rejectsWith('UNAVAILABLE', (await shrinking(600)).get(blockKey));
    const range = { offset: 550, length: 100 };
    await rejectsWith('UNAVAILABLE', (await shrinking(600)).get(blockKey, { range }));
  });

  it('counts a temporary file that it cannot remove, and the put stands', async () => {
    const root = freshRoot();
    const hook: FileHook = (call, path) => {
      if (call === 'remove' && path.includes('put-')) throw systemError('EIO');
    };
    const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
    assert.equal((await store.put(blockKey, [bytes('body')], ifAbsent)).outcome, 'stored');
    assert.equal(store.removalFailures, 1);
    assert.deepEqual(await keysOf(store), [blockKey]);
  });

  it('ends with ABORTED while the file system hangs, and cleans up when it is back', async () => {
    const puts = ['status', 'open', 'write', 'sync', 'close', 'link'] as const;
    const hangs: readonly (readonly [string, readonly FileCall[]])[] = [
      ['put', puts],
      ['get', ['status', 'open']],
      ['head', ['status']],
      ['list', ['list', 'status']],
      ['delete', ['status', 'open', 'syncDirectory']],
    ];
    for (const [verb, steps] of hangs) {
      for (const step of steps) await endsWhileHanging(verb, step);
    }
  });
});

/** Makes one file call of one call hang, aborts the call, and lets the file call go on. */
async function endsWhileHanging(verb: string, step: FileCall): Promise<void> {
  const root = freshRoot();
  await new DirectoryObjectStore(platform, root).put(blockKey, [bytes('body')]);
  const [reached, back] = [deferred<void>(), deferred<void>()];
  const hook: FileHook = (call) => {
    if (call !== step) return undefined;
    reached.resolve();
    return back.promise;
  };
  const store = new DirectoryObjectStore(withHookedFiles(platform, hook), root);
  const controller = new AbortController();
  const options = { signal: controller.signal };
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    put: () => store.put(parseObjectKey('new'), [bytes('body')], { ...options, ...ifAbsent }),
    get: () => store.get(blockKey, options),
    head: () => store.head(blockKey, options),
    list: () => store.list('', options),
    delete: () => store.delete(blockKey, options),
  };
  const ended = rejectsWith('ABORTED', calls[verb]?.() ?? Promise.resolve());
  await inTime(5000, `${verb} reaches ${step}`, reached.promise);
  controller.abort();
  await inTime(1500, `${verb} in ${step}`, ended);
  back.resolve();
  await inTime(5000, `close after ${verb} in ${step}`, store.close());
  assert.deepEqual(await readdir(`${root}/.tmp`), [], `${verb} in ${step}`);
}

describe('removeLeftOvers()', () => {
  it('removes files of writers dead for an hour, and no younger or foreign ones', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    await store.put(blockKey, [bytes('body')]);
    const old = new Date(Date.now() - objectLimits.leftOverMs - 60_000);
    for (const name of ['put-old', 'lock-old', 'lock-old-guard', 'put-young']) {
      await writeFile(`${root}/.tmp/${name}`, 'half an object');
      if (!name.endsWith('young')) await utimes(`${root}/.tmp/${name}`, old, old);
    }
    await store.removeLeftOvers();
    // A guard is removed after the lock that it guarded could not be; the next opening takes it.
    await store.removeLeftOvers();
    assert.deepEqual(await readdir(`${root}/.tmp`), ['put-young']);
    assert.deepEqual(await keysOf(store), [blockKey]);
  });

  it('removes a bounded number at once', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    await store.put(blockKey, []);
    const old = new Date(Date.now() - objectLimits.leftOverMs - 60_000);
    for (let index = 0; index < objectLimits.leftOversMax + 5; index += 1) {
      await writeFile(`${root}/.tmp/put-${index}`, '');
      await utimes(`${root}/.tmp/put-${index}`, old, old);
    }
    await store.removeLeftOvers();
    assert.equal((await readdir(`${root}/.tmp`)).length, 5);
  });

  it('ends early, and without harm, when the store is closed', async () => {
    const root = freshRoot();
    const store = new DirectoryObjectStore(platform, root);
    await store.put(blockKey, []);
    await writeFile(`${root}/.tmp/put-1`, '');
    const removing = store.removeLeftOvers();
    await store.close();
    await rejectsWith('CLOSED', removing);
  });
});
