import type { Logger } from '../base/logger.ts';
import { claimAbandoned } from './cache-directory.ts';
import type { StoreIdentity } from './cache-directory.ts';
import { storeDigestOf } from './cache-owner.ts';
import { DiskTier } from './disk-tier.ts';
import { EntryIndex } from './entry-index.ts';
import { mendIndex } from './index-check.ts';
import { checksumOf } from './log-audit.ts';
import type { LogDamage } from './log-audit.ts';
import { segmentNumber } from './log-segment.ts';
import type { LogSegment } from './log-segment.ts';
import { openSegment } from './open-segment.ts';
import { encodeSegmentHeader } from './segment-header.ts';
import type { Platform } from '../platform/platform.ts';

export interface RepairOptions {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly cacheDirectory: string;
  readonly identity: StoreIdentity;
  readonly budgetBytes: number;
  readonly damages: readonly LogDamage[];
}

/**
 * What became of damage: `dropped`: the copy is gone. `mended`: the file is as it was meant to be.
 * `rebuilt`: an index file was made again from its segment. `removed`: the file is gone, and nothing
 * is lost by it.
 */
export type Repair = 'dropped' | 'mended' | 'rebuilt' | 'removed';

/** A place that this process owns while it is repaired. */
interface OwnedPlace {
  readonly options: RepairOptions;
  readonly path: string;
  readonly storeDigest: Uint8Array;
}

/**
 * Repairs what can be repaired in the logs whose owners are dead, so that none of it is met again; a
 * living owner drops what it meets by itself. Damage that is not in the answer was left.
 */
export async function repairLogs(options: RepairOptions): Promise<ReadonlyMap<LogDamage, Repair>> {
  const { platform, cacheDirectory, identity, damages } = options;
  const storeDigest = storeDigestOf(identity);
  const repairs = new Map<LogDamage, Repair>();
  await claimAbandoned(platform, cacheDirectory, identity, undefined, async ({ path }) => {
    const place = { options, path, storeDigest };
    const own = damages.filter((damage) => damage.path.startsWith(`${path}/`));
    const of = (kind: LogDamage['kind']) => own.filter((damage) => damage.kind === kind);
    for (const damage of of('segment')) {
      if (await mendSegment(place, damage)) repairs.set(damage, 'mended');
    }
    for (const damage of await dropPayloads(place, of('payload'))) repairs.set(damage, 'dropped');
    for (const damage of of('index')) repairs.set(damage, await repairIndex(place, damage));
    for (const damage of of('catalog')) {
      if (await platform.files.remove(damage.path)) repairs.set(damage, 'removed');
    }
    // Whoever takes a place over writes an owner file of its own and removes the older ones.
    for (const damage of of('owner')) {
      const isThere = (await platform.files.status(damage.path)) !== undefined;
      if (!isThere) repairs.set(damage, 'mended');
    }
  });
  return repairs;
}

/** Writes the header again under which the records of the segment are read. */
async function mendSegment(place: OwnedPlace, { path }: LogDamage): Promise<boolean> {
  const { files } = place.options.platform;
  return withSegment(place, path, async (segment) => {
    if (segment === undefined) return false;
    const { number, salt } = segment;
    const header = encodeSegmentHeader({ number, salt, storeDigest: place.storeDigest });
    const file = await files.open(path, 'read-write');
    try {
      await file.write([header], 0);
      await file.sync();
    } finally {
      await file.close();
    }
    return true;
  });
}

/** An index file beside no segment of ours is of no use to anybody. */
async function repairIndex(place: OwnedPlace, { path }: LogDamage): Promise<'rebuilt' | 'removed'> {
  const { files } = place.options.platform;
  return withSegment(place, path.replace(/\.index$/, '.log'), async (segment) => {
    if (segment !== undefined) return mendIndex(files, segment, place.storeDigest);
    await files.remove(path);
    return 'removed';
  });
}

async function withSegment<Result>(
  { options, storeDigest }: OwnedPlace,
  path: string,
  use: (segment: LogSegment | undefined) => Promise<Result>,
): Promise<Result> {
  const { files } = options.platform;
  const number = segmentNumber(path.slice(path.lastIndexOf('/') + 1));
  const isThere = number !== undefined && (await files.status(path)) !== undefined;
  if (!isThere) return use(undefined);
  const { segment } = await openSegment({ files, path, number, storeDigest });
  try {
    return await use(segment);
  } finally {
    await segment?.close();
  }
}

/** Drops damaged payloads; resolves to those that were dropped. */
async function dropPayloads(
  { options, path, storeDigest }: OwnedPlace,
  damages: readonly LogDamage[],
): Promise<readonly LogDamage[]> {
  if (damages.length === 0) return [];
  const { platform, logger, budgetBytes } = options;
  const { files, random } = platform;
  const index = new EntryIndex();
  const log = { files, random, directory: path, budgetBytes, storeDigest };
  const disk = await DiskTier.open({ ...log, index, logger });
  const dropped: LogDamage[] = [];
  try {
    for (const damage of damages) if (await dropOne(disk, index, damage)) dropped.push(damage);
  } finally {
    await disk.close();
  }
  return dropped;
}

/** Drops the payload if the log still has it at that place, and it is still damaged. */
async function dropOne(disk: DiskTier, index: EntryIndex, damage: LogDamage): Promise<boolean> {
  const entry = damage.record === undefined ? undefined : index.find(damage.record);
  const location = entry?.disk;
  if (entry === undefined || location === undefined) return false;
  const { segment, offset, length, crc } = location;
  if (segment.path !== damage.path || offset !== damage.offset) return false;
  if ((await checksumOf(segment, offset, length)) === crc) return false;
  disk.forgetDamaged(entry);
  index.remove(entry);
  await disk.noteRemoved(entry);
  return true;
}
