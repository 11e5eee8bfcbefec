import { join } from 'node:path';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import type { Files } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import { linkNameOf, memoryEndOf, readLinkOfMemory } from './memory-link.ts';
import { mayHoldPending, UnreadableIndex } from './memory-scan.ts';
import { sharedPaths } from './shared-layout.ts';

/** A store that makes its files and locks them takes a small part of it. */
const makingMs = 10_000;
const nameBytes = 8;

/**
 * A fresh name for the shared memory of a store, in the directory of this user's stores, which is
 * made where it is missing. What dead stores left there is removed, but for what lies nowhere else. Undefined where the system has no
 * file system in memory, or no native code to map it.
 *
 * @throws StoreError `UNAVAILABLE` when the directory is another user's, or open to others.
 */
export async function newSharedDirectory(platform: Platform): Promise<string | undefined> {
  const { files, random, sharedMemory } = platform;
  const parent = parentOfSharedMemory(platform);
  if (parent === undefined || sharedMemory === undefined) return undefined;
  await files.makeDirectory(parent);
  const status = await files.status(parent);
  const isOurs = status?.kind === 'directory' && status.isOwn === true;
  if (!isOurs || status.permissions !== 0o700) {
    throw new StoreError('UNAVAILABLE', `${parent} must be a directory of this user alone (0700)`);
  }
  await removeDead(platform, parent);
  return join(parent, random.hex(nameBytes));
}

/** Where the shared memory of this user's stores lies; undefined without a file system in memory. */
export function parentOfSharedMemory({ host }: Platform): string | undefined {
  const { memoryDirectory, userId } = host;
  return memoryDirectory && join(memoryDirectory, `wombatkv-${userId ?? 'user'}`);
}

/**
 * Removes the files of a store that is closed, unless something in them lies nowhere else and whoever follows
 * the store will find it. True when they are gone.
 */
export async function removeIfSettled(platform: Platform, directory: string): Promise<boolean> {
  if (await isAwaited(platform, directory)) return false;
  await removeSharedDirectory(platform, directory);
  return true;
}

/** Removes the files of a store that is closed. What clients have mapped stays theirs. */
export async function removeSharedDirectory(platform: Platform, directory: string): Promise<void> {
  const { files } = platform;
  for (const { name } of await files.list(directory)) await files.remove(join(directory, name));
  await files.removeDirectory(directory);
}

/**
 * True while the place in the cache directory that the memory belongs to leads to it, and something in it
 * is pending. The next owner of that place takes it, whoever that is and whenever.
 */
async function isAwaited({ files }: Platform, directory: string): Promise<boolean> {
  const link = await readLinkOfMemory(files, directory);
  const otherEnd = link && join(link.place, linkNameOf(directory));
  // Nothing is accepted before both ends are there; of a damaged one it is not known where the other is.
  const hasEnds = await isThere(files, otherEnd ?? memoryEndOf(directory));
  if (!hasEnds) return false;
  try {
    return await mayHoldPending(files, directory);
  } catch (error) {
    // Whoever takes it over says that it is damaged.
    if (error instanceof UnreadableIndex) return true;
    throw error;
  }
}

async function isThere(files: Files, path: string): Promise<boolean> {
  return (await files.status(path)) !== undefined;
}

async function removeDead(platform: Platform, parent: string): Promise<void> {
  for (const { name, kind } of await platform.files.list(parent)) {
    const directory = join(parent, name);
    if (kind === 'directory' && (await isDead(platform, directory))) {
      await removeIfSettled(platform, directory);
    }
  }
}

/**
 * A store locks its index as long as it lives. What changed a moment ago may be a store that is about
 * to make its index or to lock it.
 */
async function isDead(
  { files, clock, sharedMemory }: Platform,
  directory: string,
): Promise<boolean> {
  const status = await files.status(directory);
  if (status === undefined || clock.wallMs() - status.changedMs < makingMs) return false;
  try {
    // What was opened may have been superseded before it was looked at: then another has the name.
    return [0, 1].every(() => {
      const file = sharedMemory?.open(sharedPaths.index(directory), 'read');
      try {
        return file?.isLocked(0, 1) === false;
      } finally {
        file?.close();
      }
    });
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return true;
    throw error;
  }
}
