import { dirname, join } from 'node:path';
import { assert } from '../base/assert.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { Listener } from '../platform/endpoints.ts';
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

/**
 * Makes this process the owner of a directory that was free or dead when looked at. Resolves to
 * the socket that says so while it listens, or to undefined when another process was faster.
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
 */
export async function takeOverDirectory(
  platform: Platform,
  look: DirectoryLook,
  identity: OwnerRecord['storeIdentity'],
): Promise<Listener | undefined> {
  assert(look.ownership === 'free' || look.ownership === 'dead', `take-over of ${look.path}`);
  const { path } = look;
  await makeDurableDirectory(platform, path);
  const socketName = socketFileName(platform.random.hex(nameBytes));
  const listener = await platform.endpoints.listen(join(path, socketName));
  try {
    const owner = ownerRecord(platform.host, socketName, identity);
    if (await becomeLatest(platform, look, owner)) {
      await sweep(platform, path, { number: look.latest + 1, socketName });
      return listener;
    }
  } catch (error) {
    await listener.close();
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

/** Links the owner file after the latest one seen; true when that made this process the owner. */
async function becomeLatest(
  platform: Platform,
  look: DirectoryLook,
  owner: OwnerRecord,
): Promise<boolean> {
  const { files } = platform;
  const { path } = look;
  const number = look.latest + 1;
  const temporary = await writeTemporary(platform, path, encodeOwner(owner));
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
  return (await readSweepMark(files, path)) === look.sweepMark;
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
