import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { claimAbandoned, claimDirectory, inspectDirectories } from './cache-directory.ts';
import type { OwnedDirectory } from './cache-directory.ts';
import { encodeOwnerFields, storeDigestOf } from './cache-owner.ts';
import { LogSegment, segmentName } from './log-segment.ts';

const identity = { url: 's3://bucket', keyPrefix: 'wombatkv' };
const otherIdentity = { url: 's3://bucket', keyPrefix: 'other' };
const platform = nodePlatform();
const socketName = 's-00.sock';
const skip = withoutNative();

let temporary: TemporaryDirectory;
let cacheDirectory: string;
const claimed: OwnedDirectory[] = [];

describe('cache directory', () => {
  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('cache directory');
    cacheDirectory = join(temporary.path, 'cache');
  });

  afterEach(async () => {
    await Promise.all(claimed.splice(0).map((directory) => directory.release()));
    await temporary.remove();
  });

  it('gives two claims within one process two directories', async () => {
    const [first, second] = await Promise.all([take(), take()]);
    assert.deepEqual(new Set([first.number, second.number]), new Set([0, 1]));
    assert.equal(first.path, join(cacheDirectory, 'v1', String(first.number)));
    assert.equal(first.wasUsed, false);
  });

  it('gives nothing when all directories are taken', async () => {
    for (let number = 0; number < limits.cacheDirectoriesMax; number += 1) {
      assert.equal((await take()).number, number);
    }
    assert.equal(await claimDirectory(platform, cacheDirectory, identity), undefined);
  });

  it('takes a released directory again, with its files, and counts up', async () => {
    const first = await take();
    await writeFile(join(first.path, 'segment-1.log'), 'blocks');
    await writeFile(join(first.path, 'unknown'), 'theirs');
    await first.release();
    await first.release();
    assert.deepEqual(await readdir(first.path), ['owner-1', 'segment-1.log', 'unknown']);

    const second = await take();
    assert.equal(second.number, 0);
    assert.equal(second.wasUsed, true);
    const names = (await readdir(second.path)).filter((name) => !name.endsWith('.sock'));
    assert.deepEqual(names, ['owner-2', 'owners-swept', 'segment-1.log', 'unknown']);
  });

  it('says of a directory without owner files, but with others, that it was used', async () => {
    const path = await makeDirectory(0);
    await writeFile(join(path, 'segment-1.log'), 'blocks');
    assert.equal((await take()).wasUsed, true);
  });

  it('writes who owns the directory', async () => {
    const { path } = await take();
    const {
      socketName: socket,
      checksum,
      ...rest
    } = JSON.parse(await readFile(join(path, 'owner-1'), 'utf8')) as {
      socketName: string;
      checksum: string;
    };
    const { bootId, hostName, processId } = platform.host;
    const storeIdentity = identity;
    assert.match(String(checksum), /^[0-9a-f]{64}$/);
    assert.deepEqual(rest, { formatVersion: 1, bootId, hostName, processId, storeIdentity });
    assert.deepEqual((await readdir(path)).sort(), ['owner-1', socket]);
  });

  it('sweeps what earlier claimers left, but for sockets that listen', async () => {
    const path = await makeDirectory(0);
    await writeOwner(path, {}, 7);
    await writeOwner(path, { storeIdentity: otherIdentity }, 3);
    await writeFile(join(path, 'owner-0123456789abcdef.tmp'), '');
    await writeFile(join(path, 's-dead.sock'), '');
    const listener = await platform.endpoints.listen(join(path, 's-beef.sock'));
    const { path: owned } = await take();
    assert.equal(owned, path);
    const names = (await readdir(path)).filter((name) => !/^s-[0-9a-f]{16}\.sock$/.test(name));
    assert.deepEqual(names, ['owner-8', 'owners-swept', 's-beef.sock']);
    await listener.close();
  });

  it('takes a directory whose owner ran in another boot of this machine', async () => {
    await writeOwner(await makeDirectory(0), { bootId: 'another' });
    assert.equal((await take()).number, 0);
  });

  it('leaves the owner of another boot alone on a file system shared by machines', async () => {
    await writeOwner(await makeDirectory(0), { bootId: 'another' });
    await writeOwner(await makeDirectory(1), { bootId: '' });
    await writeOwner(await makeDirectory(2), {});
    const shared = withFiles({ isLocalFileSystem: () => Promise.resolve(false) });
    assert.equal((await take(shared)).number, 2);
    const withoutBootId = { ...shared, host: { ...shared.host, bootId: '' } };
    assert.equal((await take(withoutBootId)).number, 3);
  });

  it('leaves directories of another store, a newer version, or nobody readable alone', async () => {
    await writeOwner(await makeDirectory(0), { storeIdentity: otherIdentity });
    await writeOwner(await makeDirectory(1), { formatVersion: 2 });
    const unreadable = [
      'not JSON',
      '',
      '[]',
      ownerText({ formatVersion: 0 }),
      ownerText({ socketName: '../s-00.sock' }),
      `"${'x'.repeat(70_000)}"`,
    ];
    for (const [index, text] of unreadable.entries()) {
      const path = await makeDirectory(2 + index);
      await writeFile(join(path, 'owner-1'), text);
      await makeSegment(path, otherIdentity);
    }
    assert.equal(await claimDirectory(platform, cacheDirectory, identity), undefined);
    assert.equal(await claimAbandoned(platform, cacheDirectory, identity, undefined, refuse), 0);
    assert.deepEqual(await statesOf(), ['foreign', 'newer', ...unreadable.map(() => 'unreadable')]);
    assert.deepEqual(await readdir(join(cacheDirectory, 'v1', '0')), ['owner-1']);
    // The other store takes its own.
    claimed.push(await claimedBy(platform, otherIdentity));
    assert.equal(claimed[0]?.number, 0);
  });

  it('takes a directory whose owner file is damaged when its blocks are of this store', async () => {
    const path = await makeDirectory(0);
    await writeFile(join(path, 'owner-1'), 'not JSON');
    await makeSegment(path, identity);
    await writeFile(join(path, segmentName(2)), 'cut off');
    const directory = await take();
    assert.deepEqual([directory.number, directory.wasOwnerDamaged], [0, true]);
    await directory.release();
    const again = await take();
    assert.deepEqual([again.number, again.wasOwnerDamaged], [0, false]);
  });

  it('never takes one whose owner file is damaged and whose owner lives, or may live', async () => {
    const { path } = await take();
    await writeFile(join(path, 'owner-1'), 'not JSON');
    assert.equal((await statesOf())[0], 'alive');
    assert.equal((await take()).number, 1);
    const other = await makeDirectory(2);
    await writeFile(join(other, 'owner-1'), 'not JSON');
    await makeSegment(other, identity);
    const shared = withFiles({ isLocalFileSystem: () => Promise.resolve(false) });
    assert.equal((await take(shared)).number, 3, 'no boot says that its owner is dead');
  });

  it('counts an owner that does not answer, or must not be asked, as alive', async () => {
    await writeOwner(await makeDirectory(0), {});
    await writeOwner(await makeDirectory(1), {});
    const deaf: Platform = {
      ...platform,
      endpoints: {
        listen: (path) => platform.endpoints.listen(path),
        isListening: (path, timeoutMs) => {
          assert.equal(timeoutMs, limits.ownerProbeMs);
          if (dirname(path).endsWith('0')) {
            return Promise.reject(new StoreError('ABORTED', 'no answer'));
          }
          return Promise.reject(systemError('EACCES'));
        },
      },
    };
    assert.equal((await take(deaf)).number, 2);
  });

  for (const [what, name] of [
    ['with spaces', 'a path with  spaces'],
    ['longer than the address of a socket', `${'long/'.repeat(30)}`],
  ] as const) {
    it(`works at a path ${what}`, async () => {
      cacheDirectory = join(temporary.path, name);
      const first = await take();
      assert.equal((await take()).number, 1);
      await first.release();
      assert.equal((await take()).number, 0);
    });
  }

  it('throws UNAVAILABLE naming the path when it cannot be used', async () => {
    await writeFile(cacheDirectory, 'a file');
    await assert.rejects(take(), isUnavailable('ENOTDIR'));
    assert.deepEqual(new Set(await statesOf()), new Set(['unreadable']));
  });

  it('throws UNAVAILABLE and leaves no socket when owner files cannot be written', async () => {
    const full = withFiles({ open: () => Promise.reject(systemError('ENOSPC')) });
    await assert.rejects(take(full), isUnavailable('ENOSPC'));
    const linkless = withFiles({ link: () => Promise.reject(systemError('EPERM')) });
    await assert.rejects(take(linkless), isUnavailable('EPERM'));
    assert.deepEqual(await readdir(join(cacheDirectory, 'v1', '0')), []);
  });

  it('goes on to the next directory when the system refuses one', async () => {
    await mkdir(join(cacheDirectory, 'v1'), { recursive: true });
    await writeFile(join(cacheDirectory, 'v1', '0'), 'a file');
    assert.equal((await take()).number, 1);
  });

  for (const { name, stoppedBefore } of [
    { name: 'stopped after its look', stoppedBefore: stoppedBeforeWriting },
    { name: 'stopped before its link', stoppedBefore: stoppedBeforeLink },
  ]) {
    it(`does not let a claimer in that ${name} while others came`, async () => {
      for (const before of [0, 1, 3]) {
        await takeAndRelease({ path: `after ${before}`, times: before });
        let owner: OwnedDirectory | undefined;
        const late = await take(
          stoppedBefore(async () => {
            await (await take()).release();
            await (await take()).release();
            owner = await take();
          }),
        );
        assert.equal(owner?.number, 0);
        assert.equal(late.number, 1);
      }
    });
  }

  it('does not let it in when its listing misses the owner either', async () => {
    for (const before of [0, 1, 3]) {
      await takeAndRelease({ path: `after ${before}`, times: before });
      let isBlind = false;
      const stopped = stoppedBeforeWriting(async () => {
        await (await take()).release();
        await take();
        isBlind = true;
      });
      const list: Platform['files']['list'] = async (path) => {
        const entries = await platform.files.list(path);
        if (!isBlind) return entries;
        isBlind = false;
        // As when the owner file came behind the scan and the one before it went ahead of it.
        const missed = `owner-${before + 2}`;
        assert.ok(entries.some(({ name }) => name === missed));
        return entries.filter(({ name }) => name !== missed);
      };
      const blind: Platform = { ...stopped, files: { ...stopped.files, list } };
      assert.equal((await take(blind)).number, 1);
      assert.equal(isBlind, false);
      const names = await readdir(join(cacheDirectory, 'v1', '0'));
      assert.ok(names.includes(`owner-${before + 1}`), 'it linked the number that had been swept');
    }
  });

  it('hands each abandoned directory with segments to the caller, one at a time', async () => {
    const directories = [await take(), await take(), await take(), await take(), await take()];
    for (const { path } of directories) await writeFile(join(path, 'segment-1.log'), 'blocks');
    const [own, alive] = directories;
    await makeDirectory(7);
    await writeOwner(await makeDirectory(6), {});
    await Promise.all(directories.slice(2).map((directory) => directory.release()));

    const seen: number[] = [];
    let inUse = 0;
    const use = async (directory: OwnedDirectory): Promise<void> => {
      inUse += 1;
      assert.equal(inUse, 1);
      assert.equal(directory.wasUsed, true);
      assert.equal((await statesOf())[directory.number], 'alive');
      seen.push(directory.number);
      inUse -= 1;
      if (directory.number === 3) throw new StoreError('UNAVAILABLE', 'the bucket is gone');
    };
    await assert.rejects(
      claimAbandoned(platform, cacheDirectory, identity, own, use),
      new StoreError('UNAVAILABLE', 'the bucket is gone'),
    );
    assert.deepEqual(seen, [2, 3, 4]);
    assert.equal((await statesOf()).filter((state) => state === 'alive').length, 2);
    await alive?.release();
    await own?.release();
    seen.length = 0;
    const useAny = async ({ number }: OwnedDirectory): Promise<void> => void seen.push(number);
    assert.equal(await claimAbandoned(platform, cacheDirectory, identity, own, useAny), 4);
    assert.deepEqual(seen, [1, 2, 3, 4]);
  });

  it('shows the state of every directory and changes nothing', async () => {
    assert.deepEqual(new Set(await statesOf()), new Set(['free']));
    assert.deepEqual(await readdir(temporary.path), []);
    const { path } = await take();
    await writeFile(join(path, 'segment-1.log'), 'x'.repeat(1000));
    await writeOwner(await makeDirectory(1), {});
    await writeOwner(await makeDirectory(2), { bootId: 'another' });
    await makeDirectory(3);
    const before = await readdir(cacheDirectory, { recursive: true });
    const states = await inspectDirectories(platform, cacheDirectory, identity);
    assert.deepEqual(await readdir(cacheDirectory, { recursive: true }), before);
    assert.deepEqual(
      states.map(({ state }) => state),
      ['alive', 'dead', 'dead', ...Array<string>(5).fill('free')],
    );
    const [first, second] = states;
    const ownerBytes = (await readFile(join(path, 'owner-1'))).byteLength;
    assert.equal(first?.byteLength, 1000 + ownerBytes);
    assert.equal(first?.owner?.processId, process.pid);
    assert.deepEqual(second?.owner?.storeIdentity, identity);
    assert.equal(states[3]?.owner, undefined);
  });

  for (const damage of ['its socket', 'its socket and its owner file'] as const) {
    it(
      `is not taken from a living owner that lost ${damage}, with native code`,
      { skip },
      async () => {
        const equipped = withNative(platform, 'auto');
        const first = await take(equipped);
        for (const name of await readdir(first.path)) {
          if (name.endsWith('.sock')) await rm(join(first.path, name));
          else if (damage !== 'its socket') await writeFile(join(first.path, name), 'damaged');
        }
        assert.equal((await take(equipped)).number, 1);
        await first.release();
        assert.equal((await take(equipped)).number, 0);
      },
    );
  }

  it('leaves nothing locked when it cannot take a directory over', { skip }, async () => {
    const equipped = withNative(platform, 'auto');
    const syncDirectory = (): Promise<void> => Promise.reject(systemError('EIO'));
    const failing = { ...equipped, files: { ...equipped.files, syncDirectory } };
    await makeDirectory(0);
    await assert.rejects(take(failing), { code: 'UNAVAILABLE' });
    const path = join(cacheDirectory, 'v1', '0', 'owner-1');
    assert.equal(await equipped.locks?.isHeld(path), false);
  });
});

async function take(on: Platform = platform): Promise<OwnedDirectory> {
  const directory = await claimedBy(on, identity);
  claimed.push(directory);
  return directory;
}

async function claimedBy(on: Platform, store: typeof identity): Promise<OwnedDirectory> {
  const directory = await claimDirectory(on, cacheDirectory, store);
  assert.ok(directory, 'no directory was free');
  return directory;
}

async function statesOf(): Promise<string[]> {
  const states = await inspectDirectories(platform, cacheDirectory, identity);
  return states.map(({ state }) => state);
}

async function makeDirectory(number: number): Promise<string> {
  const path = join(cacheDirectory, 'v1', String(number));
  await mkdir(path, { recursive: true });
  return path;
}

/** The header of a segment of that store, as a store makes it. */
async function makeSegment(path: string, store: typeof identity): Promise<void> {
  const { files, random } = platform;
  const place = { files, random, path: join(path, segmentName(1)), number: 1 };
  const segment = await LogSegment.create({ ...place, storeDigest: storeDigestOf(store) });
  await segment.close();
}

function ownerText(fields: object): string {
  const { bootId, hostName } = platform.host;
  const owner = { formatVersion: 1, bootId, hostName, processId: 1, socketName };
  return Buffer.from(
    encodeOwnerFields({ ...owner, storeIdentity: identity, ...fields }),
  ).toString();
}

async function writeOwner(path: string, fields: object, number = 1): Promise<void> {
  await writeFile(join(path, `owner-${number}`), ownerText(fields));
}

function withFiles(replaced: Partial<Platform['files']>): Platform {
  return { ...platform, files: { ...platform.files, ...replaced } };
}

/** A platform on which `meanwhile` happens between a claimer's first look and what it writes. */
function stoppedBeforeWriting(meanwhile: () => Promise<void>): Platform {
  const stop = once(meanwhile);
  return withFiles({ open: (path, mode) => stop().then(() => platform.files.open(path, mode)) });
}

/** The same, but its owner file is written and only the link is missing. */
function stoppedBeforeLink(meanwhile: () => Promise<void>): Platform {
  const stop = once(meanwhile);
  return withFiles({ link: (from, path) => stop().then(() => platform.files.link(from, path)) });
}

function once(action: () => Promise<void>): () => Promise<void> {
  let isFirst = true;
  return async () => {
    if (!isFirst) return;
    isFirst = false;
    await action();
  };
}

async function takeAndRelease(options: { path: string; times: number }): Promise<void> {
  cacheDirectory = join(temporary.path, options.path);
  for (let round = 0; round < options.times; round += 1) await (await take()).release();
}

function refuse(): Promise<void> {
  return Promise.reject(new Error('nothing here is abandoned'));
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: refused`), { code });
}

function isUnavailable(cause: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, 'UNAVAILABLE');
    assert.ok(error.message.includes(cacheDirectory), error.message);
    assert.ok(error.message.includes(cause), error.message);
    assert.ok(error.cause instanceof Error);
    return true;
  };
}
