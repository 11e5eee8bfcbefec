import { dirname, join } from 'node:path';
import { assert } from '../base/assert.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { FileLock } from '../platform/file-locks.ts';
import type { Platform } from '../platform/platform.ts';
import { latestOwner, listNames, mayListen, readSweepMark } from './cache-directory-look.ts';
import type { DirectoryLook } from './cache-directory-look.ts';
import {
  encodeOwner,
  isSocketName,
  isTemporaryName,
  ownerFileName,
  ownerNumberOf,
  ownerRecord,
  socketFileName,
  sweepMarkName,
  temporaryFileName,
} from './cache-owner.ts';
import type { OwnerRecord } from './cache-owner.ts';

/** Bytes of randomness in a file name: two never meet. */
const nameBytes = 8;

/** What says that the owner of a directory lives: its socket and, with native code, its lock. */
export interface Hold {
  /** Others may take the directory from now on. */
  close(): Promise<void>;
}

/**
 * Makes this process the owner of a directory that was free or dead when looked at. Resolves to
 * what says so until it is closed, or to undefined when another process was faster.
 *
 * Why there is never a second owner, however long a process stops between two steps:
 *
 * 1. A claimer listens before it links its owner file, and until it gives up. So nobody takes its
 *    file for that of a dead process while it may still become the owner.
 * 2. It links the number after the latest it saw; the link fails when the number is there.
 * 3. Owner files are removed only in the sweep of an owner, which changes the sweep mark first.
 *    A claimer that reads the same mark before it listed and after it linked therefore knows that
 *    the number it took had never been taken. Losers leave their owner file to the next sweep.
 * 4. A sweep keeps the latest file, so numbers only grow, and it ends before the socket closes.
 *
 * With native code the owner file is locked besides, before it has its name: who removes the socket
 * of a living owner, as those do who clean up directories, does not make it look dead.
 */
export async function takeOverDirectory(
  platform: Platform,
  look: DirectoryLook,
  identity: OwnerRecord['storeIdentity'],
): Promise<Hold | undefined> {
  assert(look.ownership === 'free' || look.ownership === 'dead', `take-over of ${look.path}`);
  const { path } = look;
  await makeDurableDirectory(platform, path);
  const socketName = socketFileName(platform.random.hex(nameBytes));
  const listener = await platform.endpoints.listen(join(path, socketName));
  let claim: Claim | undefined;
  try {
    const owner = ownerRecord(platform.host, socketName, identity);
    claim = await becomeLatest(platform, look, owner);
    if (claim !== undefined) {
      const { lock } = claim;
      await sweep(platform, path, { number: look.latest + 1, socketName });
      return { close: () => endHold(listener, lock) };
    }
  } catch (error) {
    await endHold(listener, claim?.lock);
    throw error;
  }
  await listener.close();
  return undefined;
}

async function makeDurableDirectory({ files }: Platform, path: string): Promise<void> {
  if ((await files.status(path))?.kind === 'directory') return;
  await files.makeDirectory(path);
  const versionDirectory = dirname(path);
  await files.syncDirectory(versionDirectory);
  await files.syncDirectory(dirname(versionDirectory));
}

async function endHold(listener: Hold, lock: FileLock | undefined): Promise<void> {
  try {
    await listener.close();
  } finally {
    await lock?.release();
  }
}

/** The lock of the owner file, where there are locks. */
interface Claim {
  readonly lock: FileLock | undefined;
}

/** Links the owner file after the latest one seen; undefined when that made nobody the owner. */
async function becomeLatest(
  platform: Platform,
  look: DirectoryLook,
  owner: OwnerRecord,
): Promise<Claim | undefined> {
  const temporary = await writeTemporary(platform, look.path, encodeOwner(owner));
  let lock: FileLock | undefined;
  let isOwner = false;
  try {
    lock = await lockIfThere(platform, temporary);
    isOwner = await linkAsLatest(platform, look, temporary);
    return isOwner ? { lock } : undefined;
  } finally {
    if (!isOwner) await lock?.release();
  }
}

/** Undefined also when an owner has swept the file away: then it cannot be linked either. */
async function lockIfThere({ locks }: Platform, path: string): Promise<FileLock | undefined> {
  try {
    return await locks?.take(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function linkAsLatest(
  platform: Platform,
  { path, latest, sweepMark }: DirectoryLook,
  temporary: string,
): Promise<boolean> {
  const { files } = platform;
  const number = latest + 1;
  try {
    await files.link(temporary, join(path, ownerFileName(number)));
  } catch (error) {
    const code = systemErrorCode(error);
    // The number is taken, or an owner has swept our temporary file away.
    if (code === 'EEXIST' || code === 'ENOENT') return false;
    throw error;
  } finally {
    await files.remove(temporary);
  }
  await files.syncDirectory(path);
  if (latestOwner(await listNames(files, path)) !== number) return false;
  return (await readSweepMark(files, path)) === sweepMark;
}

/** Removes what earlier owners and claimers left, but for the files that hold blocks. */
async function sweep(
  platform: Platform,
  path: string,
  own: { readonly number: number; readonly socketName: string },
): Promise<void> {
  const { files } = platform;
  const names = await listNames(files, path);
  assert(latestOwner(names) === own.number, `sweep of ${path} by an owner that is not its latest`);
  const older = names.filter((name) => (ownerNumberOf(name) ?? own.number) < own.number);
  if (older.length > 0) await changeSweepMark(platform, path, own.socketName);
  for (const name of older) await files.remove(join(path, name));
  for (const name of names.filter(isTemporaryName)) await files.remove(join(path, name));
  for (const name of names.filter(isSocketName)) {
    if (name === own.socketName || (await mayListen(platform, join(path, name)))) continue;
    await files.remove(join(path, name));
  }
}

/** The name of the owner's socket is a text that no mark has held before. */
async function changeSweepMark(platform: Platform, path: string, text: string): Promise<void> {
  const temporary = await writeTemporary(platform, path, new TextEncoder().encode(text));
  await platform.files.rename(temporary, join(path, sweepMarkName));
}

async function writeTemporary(
  { files, random }: Platform,
  path: string,
  bytes: Uint8Array,
): Promise<string> {
  const temporary = join(path, temporaryFileName(random.hex(nameBytes)));
  const file = await files.open(temporary, 'create-new');
  try {
    await file.write([bytes], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}
