import { isAbsolute, join } from 'node:path';
import { assert } from '../base/assert.ts';
import { isStoreError, messageOf, StoreError, systemErrorCode } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Platform } from '../platform/platform.ts';
import { attemptsMax, lookAtDirectory } from './cache-directory-look.ts';
import type { DirectoryLook, Ownership } from './cache-directory-look.ts';
import { takeOverDirectory } from './cache-directory-take-over.ts';
import { isSocketName, isTemporaryName, ownerNumberOf, sweepMarkName } from './cache-owner.ts';
import type { OwnerRecord } from './cache-owner.ts';
import { memoryNameOf } from './memory-link.ts';

/**
 * The cache directory is shared by the store processes of a host. Each owns one sub-directory:
 *
 * ```
 * <cacheDirectory>/v1/<n>/owner-<k>      who owns it; the highest k counts and is never removed;
 *                                        locked by its owner where native code is in use
 *                         s-<hex>.sock   the owner's socket: while it listens, the owner lives
 *                         owners-swept   changes before owner files are removed
 *                         segment-*.log  the blocks, see disk-log.ts
 *                         memory-<name>  leads to shared memory with more of them, see memory-link.ts
 * ```
 */
const versionDirectoryName = 'v1';

/** The object store that a sub-directory belongs to. Blocks of two stores never mix. */
export type StoreIdentity = OwnerRecord['storeIdentity'];

/** A sub-directory that belongs to this store until it is released or the process ends. */
export interface OwnedDirectory {
  /** `<cacheDirectory>/v1/<n>`, absolute. */
  readonly path: string;
  readonly number: number;
  /** True when an earlier owner may have left files in it. */
  readonly wasUsed: boolean;
  /** True when the earlier owner's file was damaged; who owned the directory was told without it. */
  readonly wasOwnerDamaged: boolean;
  /**
   * Stops listening, and unlocks: from now on others may take the directory, so all of its files must be closed
   * before. They stay. Harmless when called again.
   */
  release(): Promise<void>;
}

/** What `status` shows of a sub-directory. */
export interface DirectoryState {
  readonly number: number;
  readonly path: string;
  readonly state: Ownership;
  /** The latest owner, where its file can be read. */
  readonly owner?: OwnerRecord;
  /** Sum of the files in it. */
  readonly byteLength: number;
}

/**
 * Takes the first sub-directory that is free or whose owner is dead. Undefined when all are taken.
 * Throws `UNAVAILABLE` when none was taken over and the system's refusal was the reason.
 *
 * @example
 * ```ts
 * const directory = await claimDirectory(platform, '/var/cache/wombatkv', { url, keyPrefix });
 * // … open the disk tier in directory.path, work, close it …
 * await directory?.release();
 * ```
 */
export async function claimDirectory(
  platform: Platform,
  cacheDirectory: string,
  identity: StoreIdentity,
): Promise<OwnedDirectory | undefined> {
  let failure: { readonly cause: unknown } | undefined;
  for (const number of directoryNumbers()) {
    const place = placeOf(cacheDirectory, number);
    try {
      const directory = await claim({ platform, identity, ...place }, isTakeable);
      if (directory !== undefined) return directory;
    } catch (error) {
      // An assertion: our fault, and no other directory makes it good.
      if (systemErrorCode(error) === undefined) throw error;
      // The next one may do: this one may be another user's, or not a directory at all.
      failure ??= { cause: error };
    }
  }
  if (failure === undefined) return undefined;
  throw unusable(cacheDirectory, failure.cause);
}

/**
 * Takes every other dead sub-directory of this store that still has payloads, one after
 * another, so that its pending uploads can be finished: hands it to `use` and releases it
 * afterwards. Resolves to how many there were. A failure with one, also of `use`, does not keep the
 * others from their turn; the first is thrown at the end.
 */
// oxlint-disable-next-line max-params -- the first three are one place, as in the calls beside it.
export async function claimAbandoned(
  platform: Platform,
  cacheDirectory: string,
  identity: StoreIdentity,
  except: OwnedDirectory | undefined,
  use: (directory: OwnedDirectory) => Promise<void>,
): Promise<number> {
  let used = 0;
  let failure: { readonly cause: unknown } | undefined;
  for (const number of directoryNumbers()) {
    const place = placeOf(cacheDirectory, number);
    if (except?.path === place.path) continue;
    try {
      const directory = await claim({ platform, identity, ...place }, isAbandoned);
      if (directory === undefined) continue;
      used += 1;
      await useOnce(directory, use);
    } catch (error) {
      failure ??= { cause: error };
    }
  }
  if (failure === undefined) return used;
  throw unusable(cacheDirectory, failure.cause);
}

/** Every sub-directory that there can be, for `status`. Looks, and changes nothing. */
export async function inspectDirectories(
  platform: Platform,
  cacheDirectory: string,
  identity: StoreIdentity,
): Promise<readonly DirectoryState[]> {
  const states: DirectoryState[] = [];
  for (const number of directoryNumbers()) {
    states.push(await inspect(platform, placeOf(cacheDirectory, number), identity));
  }
  return states;
}

interface Place {
  readonly number: number;
  readonly path: string;
}

interface ClaimOptions extends Place {
  readonly platform: Platform;
  readonly identity: StoreIdentity;
}

function directoryNumbers(): number[] {
  return Array.from({ length: limits.cacheDirectoriesMax }, (_, number) => number);
}

function placeOf(cacheDirectory: string, number: number): Place {
  assert(isAbsolute(cacheDirectory), `cache directory ${cacheDirectory} is not absolute`);
  return { number, path: join(cacheDirectory, versionDirectoryName, String(number)) };
}

/** Takes the directory as long as a fresh look says that it is wanted. */
async function claim(
  { platform, identity, number, path }: ClaimOptions,
  isWanted: (look: DirectoryLook) => boolean,
): Promise<OwnedDirectory | undefined> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const look = await lookAtDirectory(platform, path, identity);
    if (!isWanted(look)) return undefined;
    const hold = await takeOverDirectory(platform, look, identity);
    if (hold === undefined) continue;
    let released: Promise<void> | undefined;
    const release = (): Promise<void> => (released ??= hold.close());
    const wasUsed = look.latest > 0 || look.names.some(isContent);
    return { path, number, wasUsed, wasOwnerDamaged: look.isOwnerDamaged, release };
  }
  // Lost to another process every time: it is theirs.
  return undefined;
}

async function useOnce(
  directory: OwnedDirectory,
  use: (directory: OwnedDirectory) => Promise<void>,
): Promise<void> {
  try {
    await use(directory);
  } finally {
    await directory.release();
  }
}

function isTakeable({ ownership }: DirectoryLook): boolean {
  return ownership === 'free' || ownership === 'dead';
}

function isAbandoned({ ownership, names }: DirectoryLook): boolean {
  const holdsPayloads = (name: string): boolean =>
    /^segment-.*\.log$/.test(name) || memoryNameOf(name) !== undefined;
  return ownership === 'dead' && names.some(holdsPayloads);
}

/** True for files that are not part of the ownership itself. */
function isContent(name: string): boolean {
  if (ownerNumberOf(name) !== undefined || name === sweepMarkName) return false;
  return !isSocketName(name) && !isTemporaryName(name);
}

async function inspect(
  platform: Platform,
  place: Place,
  identity: StoreIdentity,
): Promise<DirectoryState> {
  try {
    const { ownership, owner } = await lookAtDirectory(platform, place.path, identity);
    const byteLength = await byteLengthOf(platform, place.path);
    return { ...place, state: ownership, ...(owner && { owner }), byteLength };
  } catch {
    // Most often another user's: status shows that as what it is.
    return { ...place, state: 'unreadable', byteLength: 0 };
  }
}

async function byteLengthOf({ files }: Platform, path: string): Promise<number> {
  let sum = 0;
  for (const { name, kind } of await files.list(path)) {
    if (kind === 'file') sum += (await files.status(join(path, name)))?.byteLength ?? 0;
  }
  return sum;
}

/** The system's refusal as an error of ours; any other error as it is. */
function unusable(cacheDirectory: string, cause: unknown): unknown {
  if (isStoreError(cause) || systemErrorCode(cause) === undefined) return cause;
  const message = `the cache directory ${cacheDirectory} cannot be used: ${messageOf(cause)}`;
  return new StoreError('UNAVAILABLE', message, { cause });
}
