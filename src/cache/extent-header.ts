import { assert } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';
import { crc32cAppend } from '../base/crc32c.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { skipUnitBytes } from '../platform/shared-memory.ts';
import {
  decodeKeys,
  decodeRecord,
  encodeRecord,
  headerLengthAt,
  recordHeaderBytesMax,
} from './log-record.ts';
import type { LogRecord, RecordPlace } from './log-record.ts';

/*
 * What stands before a payload that was accepted in memory, drawn in docs/FORMAT.md (Shared memory):
 *
 *   0     the header of a record of the log, bound to the extent's place and to the salt of the files
 *   256   u32 number of following keys, u32 CRC of `header CRC ‖ number ‖ keys`, the keys
 *   2304  the payload
 *
 * It says all that is needed to go on with the upload without the store that wrote it.
 */
const keysAt = recordHeaderBytesMax + 8;
const keyBytes = 32;

/** Bytes from the extent's beginning to its payload: a multiple of what the index counts in, and of a cache line. */
export const extentHeaderBytes = 2304;
/** The same as an entry of the index has it. */
export const extentHeaderSkip = extentHeaderBytes / skipUnitBytes;

/** What an extent says of itself. */
export interface ExtentHeader {
  readonly record: LogRecord;
  /** Keys of the chain after this one; undefined when they are damaged, which costs the payload nothing. */
  readonly following: readonly BlockKey[] | undefined;
}

/** Writes the header of the payload; `keys` are those of its save, each 32 bytes, in their order. */
export function writeExtentHeader(
  into: Uint8Array,
  record: LogRecord,
  keys: Uint8Array,
  place: RecordPlace,
): void {
  assert(into.length >= extentHeaderBytes, 'an extent holds its header');
  const header = encodeRecord(record, place);
  const start = Math.min(keys.length, (record.saveIndex + 1) * keyBytes);
  const following = keys.subarray(start, start + limits.followingKeysMax * keyBytes);
  into.set(header, 0);
  into.set(following, keysAt);
  const view = viewOf(into);
  view.setUint32(recordHeaderBytesMax, following.length / keyBytes, true);
  const crc = crcOfKeys(viewOf(header).getUint32(header.length - 4, true), into, following.length);
  view.setUint32(recordHeaderBytesMax + 4, crc, true);
}

/** What the header says; undefined when it is none of that place, or not as it was written. */
export function readExtentHeader(bytes: Uint8Array, place: RecordPlace): ExtentHeader | undefined {
  assert(bytes.length === extentHeaderBytes, 'a header is read whole');
  const record = decodeRecord(bytes.subarray(0, recordHeaderBytesMax), place);
  if (record?.type !== 'payload') return undefined;
  return { record, following: readFollowing(bytes) };
}

function readFollowing(bytes: Uint8Array): readonly BlockKey[] | undefined {
  const view = viewOf(bytes);
  const count = view.getUint32(recordHeaderBytesMax, true);
  if (count > limits.followingKeysMax) return undefined;
  const headerCrc = view.getUint32(headerLengthAt(bytes, 0) - 4, true);
  const crc = crcOfKeys(headerCrc, bytes, count * keyBytes);
  if (view.getUint32(recordHeaderBytesMax + 4, true) !== crc) return undefined;
  return decodeKeys(bytes.subarray(keysAt, keysAt + count * keyBytes));
}

function crcOfKeys(headerCrc: number, bytes: Uint8Array, byteLength: number): number {
  const number = bytes.subarray(recordHeaderBytesMax, recordHeaderBytesMax + 4);
  return crc32cAppend(crc32cAppend(headerCrc, number), bytes.subarray(keysAt, keysAt + byteLength));
}
