import { crc32cAppend } from '../base/crc32c.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Platform } from '../platform/platform.ts';
import { claimAbandoned } from './cache-directory.ts';
import type { StoreIdentity } from './cache-directory.ts';
import { storeDigestOf } from './cache-owner.ts';
import { DiskTier } from './disk-tier.ts';
import { EntryIndex } from './entry-index.ts';
import { recordHeaderBytesMax } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import { isDamage, recoverLog } from './log-recovery.ts';
import type { RecoveredPayload } from './log-recovery.ts';
import { LogSegment, segmentName, segmentNumber } from './log-segment.ts';

/**
 * What is wrong in a log.
 *
 * - `payload`: its bytes fail their checksum. - `records`: there is no intact record in these bytes.
 * - `segment`: the file does not begin as a segment of this store does.
 */
export interface LogDamage {
  readonly kind: 'payload' | 'records' | 'segment';
  readonly path: string;
  /** First damaged byte of the file, and how many there are. */
  readonly offset: number;
  readonly byteLength: number;
  /** The payload's record. */
  readonly record: LogRecord | undefined;
  /** True when no object store had the payload as it was written: it is lost. */
  readonly isPending: boolean;
}

export interface LogAudit {
  /** Payloads that were read, those damaged included, and their bytes. */
  readonly payloads: number;
  readonly bytes: number;
  readonly pending: number;
  readonly pendingBytes: number;
  readonly damages: readonly LogDamage[];
}

export interface LogAuditOptions {
  readonly platform: Platform;
  /** The sub-directory with the segments. It may be in use. */
  readonly directory: string;
  readonly identity: StoreIdentity;
  /** False: only records are read, to count what there is. */
  readonly isDeep: boolean;
  /** Told of bytes that were read. */
  readonly onRead?: (byteLength: number) => void;
}

/** Bytes of a payload that are in memory at once. */
const chunkBytes = 4 * 1024 * 1024;

/** Reads a log from its first byte to its last and changes nothing. */
export async function auditLog(options: LogAuditOptions): Promise<LogAudit> {
  const { segments, foreign } = await openSegments(options);
  try {
    const recovered = await recoverLog(segments);
    const damages = [...foreign];
    for (const { segment, offset, byteLength } of recovered.gaps.filter(isDamage)) {
      const place = { path: segment.path, offset, byteLength };
      damages.push({ kind: 'records', ...place, record: undefined, isPending: false });
    }
    let [bytes, pending, pendingBytes] = [0, 0, 0];
    for (const payload of recovered.payloads) {
      const { record, isPending } = payload;
      bytes += record.payloadLength;
      if (isPending) [pending, pendingBytes] = [pending + 1, pendingBytes + record.payloadLength];
      if (!options.isDeep) continue;
      if (!(await isIntact(payload))) damages.push(damageOf(payload));
      options.onRead?.(record.payloadLength);
    }
    return { payloads: recovered.payloads.length, bytes, pending, pendingBytes, damages };
  } finally {
    await Promise.all(segments.map((segment) => segment.close()));
  }
}

export interface DropOptions {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly cacheDirectory: string;
  readonly identity: StoreIdentity;
  readonly budgetBytes: number;
  readonly damages: readonly LogDamage[];
}

/**
 * Drops damaged payloads from the logs whose owners are dead, so that none is met again; resolves to
 * those that were dropped. A living owner drops what it meets by itself.
 */
export async function dropDamaged(options: DropOptions): Promise<readonly LogDamage[]> {
  const { platform, logger, cacheDirectory, identity, budgetBytes, damages } = options;
  const dropped: LogDamage[] = [];
  const { files, random } = platform;
  const storeDigest = storeDigestOf(identity);
  await claimAbandoned(platform, cacheDirectory, identity, undefined, async ({ path }) => {
    const own = damages.filter((damage) => damage.path.startsWith(`${path}/`));
    if (own.length === 0) return;
    const index = new EntryIndex();
    const log = { files, random, directory: path, budgetBytes, storeDigest };
    const disk = await DiskTier.open({ ...log, index, logger });
    try {
      for (const damage of own) if (await dropOne(disk, index, damage)) dropped.push(damage);
    } finally {
      await disk.close();
    }
  });
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

export interface LogSearchOptions extends LogAuditOptions {
  readonly namespace: Namespace;
  /** Keys of the blocks to look for. */
  readonly keys: ReadonlySet<BlockKey>;
}

/** A block that a log holds. */
export interface LoggedBlock {
  readonly record: LogRecord;
  readonly isPending: boolean;
  /** False when its bytes fail their checksum; not looked at unless the search is deep. */
  readonly isIntact: boolean;
}

/** Finds blocks in a log, by their records, and changes nothing. */
export async function findInLog(
  options: LogSearchOptions,
): Promise<ReadonlyMap<BlockKey, LoggedBlock>> {
  const { namespace, keys, isDeep, onRead } = options;
  const { segments } = await openSegments(options);
  const found = new Map<BlockKey, LoggedBlock>();
  try {
    for (const payload of (await recoverLog(segments)).payloads) {
      const { record, isPending } = payload;
      if (record.kind !== 'block' || record.namespace !== namespace) continue;
      if (!keys.has(record.key)) continue;
      const isSound = !isDeep || (await isIntact(payload));
      found.set(record.key, { record, isPending, isIntact: isSound });
      onRead?.(record.payloadLength);
    }
    return found;
  } finally {
    await Promise.all(segments.map((segment) => segment.close()));
  }
}

async function openSegments(
  options: LogAuditOptions,
): Promise<{ segments: LogSegment[]; foreign: LogDamage[] }> {
  const { platform, directory, identity } = options;
  const { files } = platform;
  const storeDigest = storeDigestOf(identity);
  const numbers = (await files.list(directory))
    .map(({ name }) => segmentNumber(name))
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
  const segments: LogSegment[] = [];
  const foreign: LogDamage[] = [];
  for (const number of numbers) {
    const path = `${directory}/${segmentName(number)}`;
    const segment = await ifThere(LogSegment.open({ files, path, number, storeDigest }));
    if (segment !== undefined) {
      segments.push(segment);
      continue;
    }
    // Gone: its owner dropped it. Shorter than a header: a crash, or its owner is making it.
    const byteLength = (await files.status(path))?.byteLength ?? 0;
    if (byteLength < recordHeaderBytesMax) continue;
    const place = { path, offset: 0, byteLength };
    foreign.push({ kind: 'segment', ...place, record: undefined, isPending: false });
  }
  return { segments, foreign };
}

/** What the promise gives, or undefined when the file is not there any more. */
async function ifThere<Result>(promise: Promise<Result>): Promise<Result | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function isIntact({ record, segment, offset }: RecoveredPayload): Promise<boolean> {
  return (await checksumOf(segment, offset, record.payloadLength)) === record.payloadCrc;
}

/** The checksum of the bytes, read a part at a time; undefined when the file ends before. */
async function checksumOf(
  segment: LogSegment,
  offset: number,
  byteLength: number,
): Promise<number | undefined> {
  const buffer = new Uint8Array(Math.min(chunkBytes, byteLength));
  let crc = 0;
  for (let done = 0; done < byteLength; done += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, byteLength - done));
    if (!(await segment.read(part, offset + done))) return undefined;
    crc = crc32cAppend(crc, part);
  }
  return crc;
}

function damageOf({ record, segment, offset, isPending }: RecoveredPayload): LogDamage {
  const place = { path: segment.path, offset, byteLength: record.payloadLength };
  return { kind: 'payload', ...place, record, isPending };
}
