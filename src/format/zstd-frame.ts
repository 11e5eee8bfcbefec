import { assert } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';

/**
 * The outside of a Zstandard frame (https://www.rfc-editor.org/rfc/rfc8878), read before any
 * decompressor sees it:
 *
 * ```text
 * magic 4 | descriptor 1 | window 0..1 | dictionary 0..4 | content size 0..8 | blocks | checksum 0..4
 * block: u24 { last 1 bit | type 2 bits | size 21 bits } | body
 * ```
 */
interface ZstdHeader {
  /** Bytes up to the first block. */
  readonly byteLength: number;
  /** Undefined when the frame does not state it. */
  readonly contentSize: number | undefined;
  /** No block holds or makes more bytes than this. */
  readonly blockBytesMax: number;
  readonly hasChecksum: boolean;
}

const magic = 0xfd2fb528;
const descriptorAt = 4;
const singleSegmentBit = 0x20;
const checksumBit = 0x04;
const reservedBit = 0x08;
const dictionaryBits = 0x03;
const blockHeaderBytes = 3;
const blockBytesMost = 128 * 1024;
/** Content-size flag 2: four bytes. */
const fourByteSizeFlag = 2 << 6;

/**
 * Checks that the bytes are exactly one frame, whole, with nothing behind it, and that it can hold
 * `expectedBytes`: the size it states is that one, raw and run-length blocks alone do not exceed it,
 * and all blocks at their largest reach it. Reads block headers only; takes no memory.
 *
 * A compressed block does not state its size and may be short, so the largest sum says nothing
 * about memory: the decompressor is held to `expectedBytes` by {@link withContentSize}.
 *
 * @throws StoreError `CORRUPT` saying what is wrong.
 */
export function checkZstdFrame(frame: Uint8Array, expectedBytes: number): void {
  const fault = zstdFrameFault(frame, expectedBytes);
  if (fault !== undefined) throw new StoreError('CORRUPT', `zstd frame: ${fault}`);
}

/** What {@link checkZstdFrame} would refuse, as text; undefined for a good frame. */
export function zstdFrameFault(frame: Uint8Array, expectedBytes: number): string | undefined {
  const header = readHeader(frame);
  if (typeof header === 'string') return header;
  if (header.contentSize !== undefined && header.contentSize !== expectedBytes) {
    return `states ${header.contentSize} bytes, expected ${expectedBytes}`;
  }
  return blocksFault(frame, header, expectedBytes);
}

/**
 * The same frame, stating its content size: decompressors then refuse to write past it and take no
 * window beyond it. The frame itself when it already states one, else a copy that is 4 bytes longer. A
 * `target` is what it is copied to in any case, if it has room for it.
 */
export function withContentSize(
  frame: Uint8Array,
  contentBytes: number,
  target?: Uint8Array,
): Uint8Array {
  const header = readHeader(frame);
  assert(typeof header !== 'string', 'zstd frame checked or just made');
  const isStated = header.contentSize !== undefined;
  const length = isStated ? frame.length : frame.length + 4;
  const place = target !== undefined && target.length >= length ? target : undefined;
  if (isStated && place === undefined) return frame;
  const stated = place?.subarray(0, length) ?? new Uint8Array(length);
  if (isStated) {
    stated.set(frame);
    return stated;
  }
  stated.set(frame.subarray(0, header.byteLength));
  stated[descriptorAt] |= fourByteSizeFlag;
  viewOf(stated).setUint32(header.byteLength, contentBytes, true);
  stated.set(frame.subarray(header.byteLength), header.byteLength + 4);
  return stated;
}

/** The header, or what is wrong with it. */
function readHeader(frame: Uint8Array): ZstdHeader | string {
  if (frame.length <= descriptorAt) return `cut off at ${frame.length} bytes`;
  const view = viewOf(frame);
  if (view.getUint32(0, true) !== magic) return 'does not begin with the magic number';
  const descriptor = frame[descriptorAt];
  if ((descriptor & reservedBit) !== 0) return 'sets a reserved bit';
  if ((descriptor & dictionaryBits) !== 0) return 'needs a dictionary';
  const isSingleSegment = (descriptor & singleSegmentBit) !== 0;
  const sizeAt = descriptorAt + (isSingleSegment ? 1 : 2);
  const sizeFlag = descriptor >>> 6;
  const sizeBytes = sizeFlag === 0 ? Number(isSingleSegment) : 1 << sizeFlag;
  const byteLength = sizeAt + sizeBytes;
  if (frame.length < byteLength) return `header cut off at ${frame.length} bytes`;
  const contentSize = readContentSize(view, sizeAt, sizeBytes);
  const windowBytes = isSingleSegment ? contentSize : windowLength(frame[descriptorAt + 1]);
  return {
    byteLength,
    contentSize,
    blockBytesMax: Math.min(windowBytes ?? blockBytesMost, blockBytesMost),
    hasChecksum: (descriptor & checksumBit) !== 0,
  };
}

function readContentSize(view: DataView, offset: number, byteCount: number): number | undefined {
  switch (byteCount) {
    case 0:
      return undefined;
    case 1:
      return view.getUint8(offset);
    case 2:
      return view.getUint16(offset, true) + 256;
    case 4:
      return view.getUint32(offset, true);
    default:
      return view.getUint32(offset, true) + 2 ** 32 * view.getUint32(offset + 4, true);
  }
}

function windowLength(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Walks the blocks, each of which moves on by 3 bytes or more, so that the walk ends. */
function blocksFault(
  frame: Uint8Array,
  header: ZstdHeader,
  expectedBytes: number,
): string | undefined {
  let at = header.byteLength;
  let least = 0;
  let most = 0;
  let isLast = false;
  while (!isLast) {
    if (at + blockHeaderBytes > frame.length) return `block header cut off at ${frame.length}`;
    const bits = frame[at] | (frame[at + 1] << 8) | (frame[at + 2] << 16);
    const type = (bits >>> 1) & 3;
    const size = bits >>> 3;
    if (type === 3) return `block at ${at} has the reserved type`;
    if (size > header.blockBytesMax) return `block at ${at} claims ${size} bytes`;
    isLast = (bits & 1) === 1;
    at += blockHeaderBytes + (type === 1 ? 1 : size);
    least += type === 2 ? 0 : size;
    most += type === 2 ? header.blockBytesMax : size;
  }
  const end = at + (header.hasChecksum ? 4 : 0);
  if (end !== frame.length) return `ends at byte ${end} of ${frame.length}`;
  if (expectedBytes < least || expectedBytes > most) {
    return `blocks make ${least} to ${most} bytes, expected ${expectedBytes}`;
  }
  return undefined;
}
