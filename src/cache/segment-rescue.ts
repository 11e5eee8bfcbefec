import { crc32c, crc32cBefore } from '../base/crc32c.ts';
import { viewOf } from '../base/bytes.ts';
import type { OpenFile } from '../platform/files.ts';
import { decodeRecord, lookAtHeader, recordAlignment, recordHeaderBytesMax } from './log-record.ts';
import {
  checksumIn,
  encodeSegmentHeader,
  saltBytes,
  saltIn,
  segmentHeaderBytes,
  storeDigestIn,
} from './segment-header.ts';

/**
 * A segment whose header is damaged. Its records are bound to its salt, but only to the CRC of that
 * (the seed), and a CRC can be taken back: from a record and its checksum follows the seed under
 * which that checksum holds. One record proves nothing by it, for any bytes give some seed; so the
 * seed counts only when something else agrees with it.
 */
export interface DamagedSegment {
  readonly file: OpenFile;
  /** The damaged header. */
  readonly header: Uint8Array;
  readonly number: number;
  readonly storeDigest: Uint8Array;
  /** The salt that the index file of the segment names, if there is one of this store. */
  readonly indexSalt: Uint8Array | undefined;
}

/** Bytes that are read at a time where a record is looked for. */
const windowBytes = 256 * 1024;

/**
 * A salt under which the segment's records can be read; undefined when there is no record, when the
 * segment is another store's, or when nothing confirms what its first record says.
 */
export async function findSalt(segment: DamagedSegment): Promise<Uint8Array | undefined> {
  const salt = (await saltByFirstRecord(segment)) ?? (await saltByAnyRecord(segment));
  return salt === undefined || isForeign(segment, salt) ? undefined : salt;
}

/** A salt of which that is the CRC: twelve zeros, and four bytes that bring the sum about. */
export function saltOfSeed(seed: number): Uint8Array {
  const salt = new Uint8Array(saltBytes);
  const last = salt.subarray(saltBytes - 4);
  // Four bytes that follow a state act as zeros that follow it with the bytes mixed in.
  const mixed = crc32c(salt.subarray(0, saltBytes - 4)) ^ crc32cBefore(seed, last);
  viewOf(last).setUint32(0, mixed >>> 0, true);
  return salt;
}

/** What the record right behind the header says, when the header or the next record agrees. */
async function saltByFirstRecord(segment: DamagedSegment): Promise<Uint8Array | undefined> {
  const { file, number, header, storeDigest } = segment;
  const first = await readAt(file, segmentHeaderBytes, recordHeaderBytesMax);
  const look = lookAtHeader(first, { segment: number, offset: segmentHeaderBytes });
  if (look === undefined) return undefined;
  const { seed, recordLength } = look;
  const named = namedSalts(segment).find((salt) => crc32c(salt) === seed);
  if (named !== undefined) return named;
  const made = saltOfSeed(seed);
  // Salts of one seed give headers of one checksum, so that it confirms the seed and the store.
  const whole = encodeSegmentHeader({ number, salt: made, storeDigest });
  if (checksumIn(whole) === checksumIn(header)) return made;
  const offset = segmentHeaderBytes + recordLength;
  const next = await readAt(file, offset, recordHeaderBytesMax);
  return decodeRecord(next, { segment: number, offset, seed }) === undefined ? undefined : made;
}

/** One of the salts that are named, when there is any record that was written under it. */
async function saltByAnyRecord(segment: DamagedSegment): Promise<Uint8Array | undefined> {
  for (const salt of namedSalts(segment)) {
    if (await holdsRecord(segment, crc32c(salt))) return salt;
  }
  return undefined;
}

function namedSalts({ header, indexSalt }: DamagedSegment): readonly Uint8Array[] {
  return indexSalt === undefined ? [saltIn(header)] : [saltIn(header), indexSalt];
}

async function holdsRecord({ file, number }: DamagedSegment, seed: number): Promise<boolean> {
  const end = await file.byteLength();
  // Windows overlap by the longest header, so that each is whole in one of them.
  for (let start = segmentHeaderBytes; start < end; start += windowBytes - recordHeaderBytesMax) {
    const window = await readAt(file, start, windowBytes);
    for (let at = 0; at < window.length; at += recordAlignment) {
      const place = { segment: number, offset: start + at, seed };
      if (decodeRecord(window.subarray(at), place) !== undefined) return true;
    }
  }
  return false;
}

/** True when the header is a whole one of another store, but for the bytes that every header has. */
function isForeign({ header, number, storeDigest }: DamagedSegment, salt: Uint8Array): boolean {
  const digest = storeDigestIn(header);
  if (digest.every((byte, index) => storeDigest[index] === byte)) return false;
  const whole = encodeSegmentHeader({ number, salt, storeDigest: digest });
  return checksumIn(whole) === checksumIn(header);
}

/** The bytes from there on, fewer when the file ends before. */
async function readAt(file: OpenFile, offset: number, byteLength: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  return bytes.subarray(0, await file.read(bytes, offset));
}
