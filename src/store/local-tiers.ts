import { messageOf, systemErrorCode } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import type { Logger } from '../base/logger.ts';
import { claimDirectory } from '../cache/cache-directory.ts';
import type { OwnedDirectory, StoreIdentity } from '../cache/cache-directory.ts';
import type { PayloadId } from '../cache/cache-entry.ts';
import { storeDigestOf } from '../cache/cache-owner.ts';
import { DiskTier } from '../cache/disk-tier.ts';
import { EntryIndex } from '../cache/entry-index.ts';
import { LocalCache } from '../cache/local-cache.ts';
import type { LocalCacheParts } from '../cache/local-cache.ts';
import { MemoryAcceptance } from '../cache/memory-acceptance.ts';
import { linkNameOf, memoryNameOf, removeLink, writeLink } from '../cache/memory-link.ts';
import { MemoryTakeover } from '../cache/memory-takeover.ts';
import { openSharedTier } from '../cache/shared-tier.ts';
import type { SharedTier } from '../cache/shared-tier.ts';
import type { SlabBytes } from '../cache/slab-memory.ts';
import { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import type { Platform } from '../platform/platform.ts';

/** The local tiers, and the claim on the directory that holds the disk tier. */
export interface LocalTiers {
  readonly memory: SlabMemoryTier;
  readonly cache: LocalCache;
  readonly own: OwnedDirectory | undefined;
  /** Clients of this host read the memory tier. */
  readonly isShared: boolean;
  /** True when they find the payload there now. */
  readonly shows: (id: PayloadId) => boolean;
  /** Damaged things in what dead stores left in memory. */
  readonly damagedInMemory: number;
}

export interface LocalTiersParts {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly identity: StoreIdentity;
  readonly settings: {
    readonly cacheDirectory: string | false;
    readonly memoryBytes: number;
    readonly diskBytes: number;
    readonly sharedDirectory?: string | undefined;
  };
  /** Bytes of the disk budget for other files. */
  readonly reservedBytes: number;
  /** Told of a payload that no local tier holds any more. */
  readonly onEvict: (id: PayloadId) => void;
}

/** A place in the cache directory and the log in it. */
interface OwnLog {
  readonly own: OwnedDirectory;
  readonly disk: DiskTier;
  readonly index: EntryIndex;
  readonly damagedInMemory: number;
}

/**
 * Opens the log of a place in the cache directory, takes over what dead stores of the place had accepted in
 * memory, and then makes the memory tier: theirs is gone by then, so both need not fit at once.
 */
export async function openLocalTiers(parts: LocalTiersParts): Promise<LocalTiers> {
  const log = await openLog(parts);
  let shared: SharedTier | undefined;
  try {
    shared = await shareMemory(parts);
    const memory = memoryTierOf(parts, shared);
    const acceptance = await openAcceptance(parts, { log, shared, memory });
    const cache = new LocalCache(cacheParts(parts, { log, shared, memory, acceptance }));
    const { own, damagedInMemory = 0 } = log ?? {};
    const shows = (id: PayloadId): boolean => {
      const extent = cache.find(id)?.extent;
      return extent !== undefined && shared?.shows(extent.bytes) === true;
    };
    return { memory, cache, own, isShared: shared !== undefined, shows, damagedInMemory };
  } catch (error) {
    shared?.close();
    await log?.disk.close();
    await log?.own.release();
    throw error;
  }
}

function cacheParts(
  { platform, onEvict }: LocalTiersParts,
  opened: {
    readonly log: OwnLog | undefined;
    readonly shared: SharedTier | undefined;
    readonly memory: SlabMemoryTier;
    readonly acceptance: MemoryAcceptance | undefined;
  },
): LocalCacheParts {
  const { log, shared, memory, acceptance } = opened;
  const disk = log?.disk;
  const index = log?.index ?? new EntryIndex();
  const payloadMemory = platform.memory;
  return { memory, payloadMemory, index, disk, shared, acceptance, clock: platform.clock, onEvict };
}

async function openLog(parts: LocalTiersParts): Promise<OwnLog | undefined> {
  const { platform, logger, identity, settings, reservedBytes, onEvict } = parts;
  const { cacheDirectory, diskBytes } = settings;
  if (cacheDirectory === false) return undefined;
  const own = await claimDirectory(platform, cacheDirectory, identity);
  if (own === undefined) {
    logger.info('cache directory: all places are taken; this store has no disk tier', {
      directory: cacheDirectory,
    });
    return undefined;
  }
  const { files, random, memory } = platform;
  const storeDigest = storeDigestOf(identity);
  const index = new EntryIndex();
  const budget = { budgetBytes: diskBytes, reservedBytes };
  const place = { files, random, memory, directory: own.path, ...budget, storeDigest };
  let disk: DiskTier | undefined;
  try {
    disk = await DiskTier.open({ ...place, index, logger, onEvict });
    const left = { platform, logger, place: own.path, storeDigest, tier: disk };
    return { own, disk, index, damagedInMemory: await MemoryTakeover.run(left) };
  } catch (error) {
    await disk?.close();
    await own.release();
    throw error;
  }
}

function shareMemory({
  platform,
  logger,
  settings,
}: LocalTiersParts): Promise<SharedTier | undefined> {
  const { sharedDirectory, memoryBytes } = settings;
  if (sharedDirectory === undefined) return Promise.resolve(undefined);
  return openSharedTier(platform, sharedDirectory, memoryBytes, logger);
}

function memoryTierOf(
  { platform, settings }: LocalTiersParts,
  shared: SharedTier | undefined,
): SlabMemoryTier {
  const budgetBytes = settings.memoryBytes;
  if (shared === undefined) {
    return new SlabMemoryTier(budgetBytes, (byteLength) => platform.memory.take(byteLength));
  }
  const take = (byteLength: number): SlabBytes | undefined => shared.take(byteLength);
  return new SlabMemoryTier(budgetBytes, take, shared, (byteLength) =>
    shared.takeLater(byteLength),
  );
}

/** Undefined where there is no shared memory, or no place whose next owner would look for it. */
async function openAcceptance(
  { platform, logger, identity, settings }: LocalTiersParts,
  opened: {
    readonly log: OwnLog | undefined;
    readonly shared: SharedTier | undefined;
    readonly memory: SlabMemoryTier;
  },
): Promise<MemoryAcceptance | undefined> {
  const { log, shared, memory } = opened;
  const directory = settings.sharedDirectory;
  if (log === undefined || shared === undefined || directory === undefined) return undefined;
  if (memoryNameOf(linkNameOf(directory)) === undefined) return undefined;
  const place = log.own.path;
  const salt = platform.random.hex(16);
  const { bootId } = platform.host;
  const storeDigest = hexFromBytes(storeDigestOf(identity));
  try {
    await writeLink(platform, { directory, place, storeDigest, salt, bootId });
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    const why = messageOf(error);
    logger.error('shared memory: saves are accepted by the log, for nobody would find them', {
      why,
    });
    return undefined;
  }
  const { memoryBytes } = settings;
  const tiers = { memory, shared, disk: log.disk, memoryBytes };
  const onSettled = (): Promise<void> => removeLink(platform.files, place, directory);
  return new MemoryAcceptance({ ...tiers, clock: platform.clock, logger, salt, onSettled });
}
