import { join } from 'node:path';
import { systemErrorCode } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import { limits } from '../blocks/limits.ts';
import type { Files } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import {
  isSameStore,
  isSocketName,
  ownerFileBytesMax,
  ownerFileName,
  ownerNumberOf,
  parseOwner,
  storeDigestOf,
  sweepMarkName,
} from './cache-owner.ts';
import type { OwnerRecord } from './cache-owner.ts';
import { lookAtSegment, segmentNumber } from './log-segment.ts';
import { memoryNameOf, readLinkOfPlace } from './memory-link.ts';

/**
 * What the latest owner file says of a sub-directory.
 *
 * - `free`: nobody has owned it.
 * - `alive`: its owner lives, or may live.
 * - `dead`: its owner, of the same object store, is gone.
 * - `foreign`: it belongs to another object store, alive or not.
 * - `newer`: a newer version of the program owns it, alive or not.
 * - `unreadable`: it cannot be told who owns it, and the blocks in it are not all of this store.
 *
 * An owner file that is damaged says nothing, but a living owner listens on a socket of the directory,
 * and every segment file names its store: so the directory is `alive` or `dead` all the same where
 * these tell.
 */
export type Ownership = 'free' | 'alive' | 'dead' | 'foreign' | 'newer' | 'unreadable';

/** A sub-directory at one moment. What it says may be outdated as soon as it is made. */
export interface DirectoryLook {
  readonly path: string;
  readonly ownership: Ownership;
  readonly owner: OwnerRecord | undefined;
  /** True when the latest owner file is there and its bytes are not those of one. */
  readonly isOwnerDamaged: boolean;
  /** Highest number of an owner file, 0 when there is none. */
  readonly latest: number;
  /** The sweep mark as it was before the names were listed. */
  readonly sweepMark: string;
  readonly names: readonly string[];
}

/**
 * Looks or take-overs tried in a row before the directory counts as somebody else's. Each failure
 * means that another process got further meanwhile, so a few are plenty.
 */
export const attemptsMax = 8;

/** Looks at the sub-directory as a store with this identity sees it. Changes nothing. */
export async function lookAtDirectory(
  platform: Platform,
  path: string,
  identity: OwnerRecord['storeIdentity'],
): Promise<DirectoryLook> {
  const { files } = platform;
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const sweepMark = await readSweepMark(files, path);
    const names = await listNames(files, path);
    const latest = latestOwner(names);
    const seen = { path, names, sweepMark, latest, owner: undefined, isOwnerDamaged: false };
    if (seen.latest === 0) return { ...seen, ownership: 'free' };
    const owner = await readOwner(files, join(path, ownerFileName(seen.latest)));
    // Swept by a later owner since the names were listed.
    if (owner === undefined) continue;
    const isHeld = (await platform.locks?.isHeld(join(path, ownerFileName(seen.latest)))) === true;
    if (owner === 'unreadable') {
      const ownership = isHeld ? 'alive' : await judgeUnreadable(platform, seen, identity);
      return { ...seen, ownership, isOwnerDamaged: true };
    }
    if (owner === 'newer') return { ...seen, ownership: owner };
    if (!isSameStore(owner.storeIdentity, identity))
      return { ...seen, ownership: 'foreign', owner };
    const ownership = !isHeld && (await isDead(platform, path, owner)) ? 'dead' : 'alive';
    return { ...seen, ownership, owner };
  }
  // Owners follow each other faster than they can be read: somebody is there.
  const unseen = { path, names: [], sweepMark: '', latest: 0, owner: undefined };
  return { ...unseen, ownership: 'alive', isOwnerDamaged: false };
}

/** The names in the directory, none when it is absent. */
export async function listNames(files: Files, path: string): Promise<readonly string[]> {
  return (await files.list(path)).map(({ name }) => name);
}

/** The highest number of an owner file among the names, 0 when there is none. */
export function latestOwner(names: readonly string[]): number {
  return names.reduce((latest, name) => Math.max(latest, ownerNumberOf(name) ?? 0), 0);
}

/** Owner files of the directory whose bytes are not those of one, the latest or not. */
export async function damagedOwners(
  files: Files,
  path: string,
): Promise<readonly { readonly path: string; readonly byteLength: number }[]> {
  const damaged: { readonly path: string; readonly byteLength: number }[] = [];
  for (const name of await listNames(files, path)) {
    if (ownerNumberOf(name) === undefined) continue;
    const owner = join(path, name);
    if ((await readOwner(files, owner)) !== 'unreadable') continue;
    const byteLength = (await files.status(owner))?.byteLength;
    if (byteLength !== undefined) damaged.push({ path: owner, byteLength });
  }
  return damaged;
}

/** The text of the directory's sweep mark, empty before its first sweep. */
export async function readSweepMark(files: Files, path: string): Promise<string> {
  const bytes = await readIfThere(files, join(path, sweepMarkName));
  return bytes === undefined ? '' : new TextDecoder().decode(bytes);
}

async function readOwner(
  files: Files,
  path: string,
): Promise<OwnerRecord | 'newer' | 'unreadable' | undefined> {
  try {
    const bytes = await readIfThere(files, path);
    return bytes && parseOwner(bytes);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EFBIG' || code === 'EISDIR') return 'unreadable';
    throw error;
  }
}

async function readIfThere(files: Files, path: string): Promise<Uint8Array | undefined> {
  try {
    return await files.readSmall(path, ownerFileBytesMax);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * True when the owner is surely gone: nobody listens on its socket, and it could not listen
 * elsewhere unseen. A socket answers only on the machine (and in the boot) that made it, so on a
 * file system that several machines share, silence proves something only about this boot.
 */
async function isDead(platform: Platform, path: string, owner: OwnerRecord): Promise<boolean> {
  const { host, files } = platform;
  if (await mayListen(platform, join(path, owner.socketName))) return false;
  const isSameBoot = host.bootId !== '' && host.bootId === owner.bootId;
  return isSameBoot || files.isLocalFileSystem(path);
}

/**
 * What is to be told of a directory without its owner file's help. Whoever linked that file listened
 * on a socket among `names` before, and does so while it lives; on a file system that machines share,
 * silence says nothing, for the boot is not known. A directory is dead for this store only when each
 * segment in it is this store's: the segments of another one are left to that one.
 */
async function judgeUnreadable(
  platform: Platform,
  { path, names }: { readonly path: string; readonly names: readonly string[] },
  identity: OwnerRecord['storeIdentity'],
): Promise<Ownership> {
  for (const name of names.filter(isSocketName)) {
    if (await mayListen(platform, join(path, name))) return 'alive';
  }
  const { files } = platform;
  if (!(await files.isLocalFileSystem(path))) return 'unreadable';
  const storeDigest = storeDigestOf(identity);
  for (const name of names) {
    const number = segmentNumber(name);
    if (number === undefined) continue;
    const segment = { files, path: join(path, name), number, storeDigest };
    const look = await lookAtSegment(segment);
    // A file that ends before its header does holds no block.
    if (look !== 'own' && look !== 'short') return 'unreadable';
  }
  for (const name of names) {
    const link =
      memoryNameOf(name) === undefined ? undefined : await readLinkOfPlace(files, path, name);
    // One that is damaged tells nothing; the memory that it leads to names its store as well.
    if (link !== undefined && link.storeDigest !== hexFromBytes(storeDigest)) return 'unreadable';
  }
  return 'dead';
}

/** False only when it is certain that nobody listens on the socket file. */
export async function mayListen(platform: Platform, path: string): Promise<boolean> {
  try {
    return await platform.endpoints.isListening(path, limits.ownerProbeMs);
  } catch {
    // No answer in time, or no right to connect: the owner counts as alive and is shown as such.
    return true;
  }
}
