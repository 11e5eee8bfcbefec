import { viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';

/** Bytes before the first record. */
export const segmentHeaderBytes = 64;
export const saltBytes = 16;

const magic = 0x53564b57; // 'WKVS'
const version = 1;
const saltAt = 12;
const digestAt = 28;
const crcAt = 60;

/** What the header of a segment says. `docs/FORMAT.md` (Segment) draws it. */
export interface SegmentHeader {
  readonly number: number;
  readonly salt: Uint8Array;
  /** 32 bytes that name the object store. */
  readonly storeDigest: Uint8Array;
}

/**
 * What the first bytes of a file say that is named like a segment.
 *
 * - `own`: a segment of this store. - `foreign`: one of another store, or of another version.
 * - `short`: the file ends before a header does, as a crash leaves it. - `damaged`: anything else.
 */
export type SegmentLook = 'own' | 'foreign' | 'short' | 'damaged';

/** The header's bytes. */
export function encodeSegmentHeader({ number, salt, storeDigest }: SegmentHeader): Uint8Array {
  const header = new Uint8Array(segmentHeaderBytes);
  const view = viewOf(header);
  view.setUint32(0, magic, true);
  view.setUint16(4, version, true);
  view.setUint32(8, number, true);
  header.set(salt, saltAt);
  header.set(storeDigest, digestAt);
  view.setUint32(crcAt, crc32c(header.subarray(0, crcAt)), true);
  return header;
}

/** Judges the header of the file that is named like the segment of that number. */
export function judgeHeader(
  header: Uint8Array,
  { number, storeDigest }: Omit<SegmentHeader, 'salt'>,
): SegmentLook {
  if (header.length < segmentHeaderBytes) return 'short';
  const view = viewOf(header);
  const isIntact =
    view.getUint32(0, true) === magic &&
    view.getUint32(crcAt, true) === crc32c(header.subarray(0, crcAt)) &&
    view.getUint32(8, true) === number;
  if (!isIntact) return 'damaged';
  const isOwn =
    view.getUint16(4, true) === version &&
    storeDigest.every((byte, index) => header[digestAt + index] === byte);
  return isOwn ? 'own' : 'foreign';
}

/** The salt that the header names. */
export function saltIn(header: Uint8Array): Uint8Array {
  return header.slice(saltAt, saltAt + saltBytes);
}

/** The store digest that the header names. */
export function storeDigestIn(header: Uint8Array): Uint8Array {
  return header.slice(digestAt, crcAt);
}

/** The checksum that the header ends with, right or wrong. */
export function checksumIn(header: Uint8Array): number {
  return viewOf(header).getUint32(crcAt, true);
}
