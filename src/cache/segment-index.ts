import { assert } from '../base/assert.ts';
import { roundUp, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { systemErrorCode } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Files } from '../platform/files.ts';
import { headerLengthAt, recordAlignment, RecordReader } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import type { LogSegment, SegmentOptions } from './log-segment.ts';
import { segmentHeaderBytes } from './segment-header.ts';

/**
 * The index file of a sealed segment: the headers of its records without their payloads, so that
 * opening reads a few bytes for each instead of walking through the segment. `docs/FORMAT.md`
 * (Index file) draws it. It only repeats what the segment says: without it the segment is scanned.
 */
const headerBytes = 80;
const crcBytes = 4;
const magic = 0x49564b57; // 'WKVI'
const version = 1;
const namePattern = /^segment-(\d{10})\.index$/;

/** Fewer records are found by a scan as fast, and a small store need not sync as it is closed. */
export const indexRecordsMin = 16;

/** A record, and where it begins in its segment; what follows its header begins at `payloadOffset`. */
export interface PlacedRecord {
  readonly record: LogRecord;
  readonly offset: number;
  readonly payloadOffset: number;
}

/** The file name of the index of a segment. */
export function indexName(number: number): string {
  return `segment-${String(number).padStart(10, '0')}.index`;
}

/** The number of the segment whose index has that file name, or undefined for another file. */
export function indexNumber(name: string): number | undefined {
  const digits = namePattern.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** The path of the segment's index. */
export function indexPath({ path }: { readonly path: string }): string {
  return path.replace(/\.log$/, '.index');
}

/** Gathers the headers of a segment while it is written. */
export class SegmentIndexBuilder {
  readonly segment: LogSegment;
  #headers: Uint8Array[] = [];
  #records = 0;
  #byteLength = headerBytes + crcBytes;
  /** True once there are too many: the headers are given up, and the segment gets no index. */
  #isOver = false;

  constructor(segment: LogSegment) {
    this.segment = segment;
  }

  /** The header of the next record, which must not change any more. */
  add(header: Uint8Array): void {
    this.#records += 1;
    if (this.#isOver) return;
    this.#byteLength += header.length;
    this.#headers.push(header);
    if (this.#byteLength <= limits.segmentIndexBytesMax) return;
    this.#isOver = true;
    this.#headers = [];
  }

  /** False when there were too many headers to be kept. */
  get hasAll(): boolean {
    return !this.#isOver;
  }

  /** True when the segment is to get an index. */
  get isWorthwhile(): boolean {
    return this.hasAll && this.#records >= indexRecordsMin;
  }

  /** Bytes of the file. */
  get byteLength(): number {
    return this.#isOver ? 0 : this.#byteLength;
  }

  /** The bytes of the file, for the segment as it is now. */
  encode(storeDigest: Uint8Array): Uint8Array {
    assert(!this.#isOver, 'index of too many records');
    const { number, salt, byteLength } = this.segment;
    const bytes = new Uint8Array(this.#byteLength);
    const view = viewOf(bytes);
    view.setUint32(0, magic, true);
    view.setUint16(4, version, true);
    view.setUint32(8, number, true);
    bytes.set(salt, 12);
    bytes.set(storeDigest, 28);
    view.setUint32(60, this.#records, true);
    view.setBigUint64(64, BigInt(byteLength), true);
    view.setBigUint64(72, BigInt(bytes.length), true);
    let at = headerBytes;
    for (const header of this.#headers) {
      bytes.set(header, at);
      at += header.length;
    }
    view.setUint32(at, crc32c(bytes.subarray(0, at)), true);
    return bytes;
  }
}

/**
 * The records that the index lists, or undefined when it is not an intact index of exactly this
 * segment. Records follow each other without a gap from the segment's header to its end, so an
 * index hides nothing that a scan would find.
 */
export function decodeIndex(
  bytes: Uint8Array,
  segment: LogSegment,
  storeDigest: Uint8Array,
): readonly PlacedRecord[] | undefined {
  if (!isIndexOf(bytes, segment, storeDigest)) return undefined;
  const count = viewOf(bytes).getUint32(60, true);
  const end = bytes.length - crcBytes;
  const place = { segment: segment.number, seed: segment.seed, offset: segmentHeaderBytes };
  const reader = new RecordReader(bytes);
  const records: PlacedRecord[] = [];
  let at = headerBytes;
  while (at < end) {
    const record = reader.read(at, end, place);
    if (record === undefined) return undefined;
    const length = headerLengthAt(bytes, at);
    records.push({ record, offset: place.offset, payloadOffset: place.offset + length });
    at += length;
    place.offset += roundUp(length + record.payloadLength, recordAlignment);
  }
  const { offset } = place;
  return offset === segment.byteLength && records.length === count ? records : undefined;
}

function isIndexOf(bytes: Uint8Array, segment: LogSegment, storeDigest: Uint8Array): boolean {
  if (bytes.length < headerBytes + crcBytes) return false;
  const view = viewOf(bytes);
  const end = bytes.length - crcBytes;
  return (
    view.getUint32(0, true) === magic &&
    view.getUint16(4, true) === version &&
    view.getUint32(8, true) === segment.number &&
    segment.salt.every((byte, index) => bytes[12 + index] === byte) &&
    storeDigest.every((byte, index) => bytes[28 + index] === byte) &&
    view.getBigUint64(64, true) === BigInt(segment.byteLength) &&
    view.getBigUint64(72, true) === BigInt(bytes.length) &&
    view.getUint32(end, true) === crc32c(bytes.subarray(0, end))
  );
}

/**
 * Writes the index beside its segment. The segment is synced before: after a loss of power an index
 * must not name records that the segment has lost, for one of them may stand in the way of an older
 * record that is still there. The index needs no sync: a torn one is not used.
 */
export async function writeIndex(
  files: Files,
  builder: SegmentIndexBuilder,
  storeDigest: Uint8Array,
): Promise<void> {
  await builder.segment.sync();
  const file = await files.open(indexPath(builder.segment), 'create-or-replace');
  try {
    await file.write([builder.encode(storeDigest)], 0);
  } finally {
    await file.close();
  }
}

/**
 * The salt of the segment by its index file, when that is one of this store. Nothing else of it is
 * looked at: whoever reads records under the salt finds out whether it is the right one.
 */
export async function saltInIndex(options: SegmentOptions): Promise<Uint8Array | undefined> {
  const { files, number, storeDigest } = options;
  const start = new Uint8Array(headerBytes);
  try {
    const file = await files.open(indexPath(options), 'read');
    try {
      if ((await file.read(start, 0)) < headerBytes) return undefined;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
  const view = viewOf(start);
  const isOfSegment = view.getUint32(0, true) === magic && view.getUint32(8, true) === number;
  const isOfStore = storeDigest.every((byte, index) => start[28 + index] === byte);
  return isOfSegment && isOfStore ? start.slice(12, 28) : undefined;
}

/** What an index file said of its segment. */
export interface ReadIndex {
  readonly records: readonly PlacedRecord[];
  readonly byteLength: number;
}

/** Reads the segment's index; undefined when there is none that can be used. */
export async function readIndex(
  files: Files,
  segment: LogSegment,
  storeDigest: Uint8Array,
): Promise<ReadIndex | undefined> {
  const bytes = await readIndexBytes(files, segment);
  // Gone, too long or unreadable: the segment itself tells the same.
  if (!(bytes instanceof Uint8Array)) return undefined;
  const records = decodeIndex(bytes, segment, storeDigest);
  return records === undefined ? undefined : { records, byteLength: bytes.length };
}

/** The bytes of the segment's index; why not, where they cannot be had. */
export async function readIndexBytes(
  files: Files,
  segment: LogSegment,
): Promise<Uint8Array | 'absent' | 'unreadable'> {
  // Every record takes more bytes in the segment than in its index.
  const byteLengthMax = Math.min(
    limits.segmentIndexBytesMax,
    segment.byteLength + headerBytes + crcBytes,
  );
  try {
    return await files.readSmall(indexPath(segment), byteLengthMax);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    return code === 'ENOENT' ? 'absent' : 'unreadable';
  }
}

/** True when the bytes end with their own checksum. */
export function isCheckedIndex(bytes: Uint8Array): boolean {
  const end = bytes.length - crcBytes;
  return (
    end >= headerBytes && viewOf(bytes).getUint32(end, true) === crc32c(bytes.subarray(0, end))
  );
}
