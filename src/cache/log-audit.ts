import { join } from 'node:path';
import { crc32cAppend } from '../base/crc32c.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Platform } from '../platform/platform.ts';
import type { StoreIdentity } from './cache-directory.ts';
import { catalogPath, checkCatalogFile } from './catalog-file.ts';
import { damagedOwners } from './cache-directory-look.ts';
import { storeDigestOf } from './cache-owner.ts';
import { lookAtIndex } from './index-check.ts';
import { recordHeaderBytesMax } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import { isDamage, recoverLog } from './log-recovery.ts';
import type { RecoveredPayload } from './log-recovery.ts';
import { segmentName, segmentNumber } from './log-segment.ts';
import type { LogSegment, SegmentOptions } from './log-segment.ts';
import { openSegment } from './open-segment.ts';
import { indexNumber, indexPath } from './segment-index.ts';

/**
 * What is wrong in a place of the cache directory.
 *
 * - `payload`: its bytes fail their checksum. - `records`: there is no intact record in these bytes.
 * - `segment`: the file does not begin as a segment of this store does. - `index`: an index file does
 * not tell what its segment tells, or has none. - `owner`: an owner file fails its checksum.
 * - `catalog`: a catalog file fails its checksums.
 */
export interface LogDamage {
  readonly kind: 'payload' | 'records' | 'segment' | 'index' | 'owner' | 'catalog';
  readonly path: string;
  /** First damaged byte of the file, and how many there are. */
  readonly offset: number;
  readonly byteLength: number;
  /** The payload's record. */
  readonly record: LogRecord | undefined;
  /** True when no object store had the payload as it was written: it is lost. */
  readonly isPending: boolean;
  /** True for a segment whose records were read in spite of its header. */
  readonly isRead?: boolean;
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
  /** False: only records are read, to count what there is; no payloads and no index files. */
  readonly isDeep: boolean;
  /** Told of bytes that were read. */
  readonly onRead?: (byteLength: number) => void;
  /** Told of every payload. */
  readonly onPayload?: (record: LogRecord) => void;
}

/** Bytes of a payload that are in memory at once. */
const chunkBytes = 4 * 1024 * 1024;

/** Reads a log from its first byte to its last and changes nothing. */
export async function auditLog(options: LogAuditOptions): Promise<LogAudit> {
  const { segments, damaged } = await openSegments(options);
  try {
    const recovered = await recoverLog(segments);
    const damages = [...damaged];
    for (const { segment, offset, byteLength } of recovered.gaps.filter(isDamage)) {
      const place = { path: segment.path, offset, byteLength };
      damages.push({ kind: 'records', ...place, record: undefined, isPending: false });
    }
    let [bytes, pending, pendingBytes] = [0, 0, 0];
    for (const payload of recovered.payloads) {
      const { record, isPending } = payload;
      options.onPayload?.(record);
      bytes += record.payloadLength;
      if (isPending) [pending, pendingBytes] = [pending + 1, pendingBytes + record.payloadLength];
      if (!options.isDeep) continue;
      if (!(await isIntact(payload))) damages.push(damageOf(payload));
      options.onRead?.(record.payloadLength);
    }
    if (options.isDeep) damages.push(...(await findDamagedIndexes(options)));
    if (options.isDeep) damages.push(...(await findDamagedCatalog(options)));
    for (const owner of await damagedOwners(options.platform.files, options.directory)) {
      damages.push({ kind: 'owner', path: owner.path, ...wholeFile(owner.byteLength) });
    }
    return { payloads: recovered.payloads.length, bytes, pending, pendingBytes, damages };
  } finally {
    await Promise.all(segments.map((segment) => segment.close()));
  }
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
): Promise<{ segments: LogSegment[]; damaged: LogDamage[] }> {
  const segments: LogSegment[] = [];
  const damaged: LogDamage[] = [];
  for (const place of await placesIn(options, segmentNumber)) {
    const opened = await ifThere(openSegment(place));
    if (opened?.segment !== undefined) segments.push(opened.segment);
    if (opened?.look === 'own') continue;
    // Gone: its owner dropped it. Shorter than a header: a crash, or its owner is making it.
    const byteLength = (await options.platform.files.status(place.path))?.byteLength ?? 0;
    if (byteLength < recordHeaderBytesMax) continue;
    const isRead = opened?.segment !== undefined;
    damaged.push({ kind: 'segment', path: place.path, ...wholeFile(byteLength), isRead });
  }
  return { segments, damaged };
}

/**
 * Index files that are not what their segments say. The log may be in use: what another process is
 * writing or removing right now looks damaged once and not twice.
 */
async function findDamagedIndexes(options: LogAuditOptions): Promise<readonly LogDamage[]> {
  const damages: LogDamage[] = [];
  for (const place of await placesIn(options, indexNumber)) {
    if (!(await isIndexDamaged(place)) || !(await isIndexDamaged(place))) continue;
    const path = indexPath(place);
    const byteLength = (await place.files.status(path))?.byteLength;
    if (byteLength === undefined) continue;
    damages.push({ kind: 'index', path, ...wholeFile(byteLength) });
    options.onRead?.(byteLength);
  }
  return damages;
}

/** The same holds of the catalog file. */
async function findDamagedCatalog(options: LogAuditOptions): Promise<readonly LogDamage[]> {
  const { platform, directory, identity } = options;
  const { files } = platform;
  const place = { files, directory, storeDigest: storeDigestOf(identity) };
  const isDamaged = async (): Promise<boolean> => (await checkCatalogFile(place)) === 'damaged';
  if (!(await isDamaged()) || !(await isDamaged())) return [];
  const path = catalogPath(directory);
  const byteLength = (await files.status(path))?.byteLength;
  return byteLength === undefined ? [] : [{ kind: 'catalog', path, ...wholeFile(byteLength) }];
}

async function isIndexDamaged(place: SegmentOptions): Promise<boolean> {
  const { files, path, storeDigest } = place;
  const segment = (await ifThere(openSegment(place)))?.segment;
  // Without its segment an index is of no use, and beside a foreign one it is not ours to judge.
  if (segment === undefined) return (await files.status(path)) === undefined;
  try {
    return (await lookAtIndex(files, segment, storeDigest)) === 'damaged';
  } finally {
    await segment.close();
  }
}

/** The segments of the directory to whose files `numberOf` gives numbers, the oldest first. */
async function placesIn(
  { platform, directory, identity }: LogAuditOptions,
  numberOf: (name: string) => number | undefined,
): Promise<readonly SegmentOptions[]> {
  const { files } = platform;
  const storeDigest = storeDigestOf(identity);
  const names = await files.list(directory);
  return names
    .map(({ name }) => numberOf(name))
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b)
    .map((number) => ({ files, path: join(directory, segmentName(number)), number, storeDigest }));
}

function wholeFile(byteLength: number): Omit<LogDamage, 'kind' | 'path'> {
  return { offset: 0, byteLength, record: undefined, isPending: false };
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

/** The checksum of the payload's bytes, read a part at a time; undefined when the file ends before. */
export async function checksumOf(
  segment: Pick<LogSegment, 'read'>,
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
