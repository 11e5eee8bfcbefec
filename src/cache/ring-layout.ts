import { roundUp, viewOf } from '../base/bytes.ts';
import { crc32c, crc32cAppend } from '../base/crc32c.ts';
import { hexFromBytes } from '../base/hex.ts';
import { blockKeyAt } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';

/*
 * A commit ring: a file in which one client leaves saves for the store of the memory that it lies in. docs/FORMAT.md
 * (Shared memory) draws it; capi/src/shared/commit-ring.h says the same to the client.
 */

/** Where the words of the header stand, in bytes. Each that changes has a cache line of its own. */
export const ringWords = {
  version: 8,
  dataBytes: 12,
  seed: 16,
  /** Where the next entry goes, in units; written by the client alone. */
  head: 64,
  /** What the store has not taken yet begins there; written by the store alone. */
  tail: 128,
  /** Nothing is accepted here any more; written by the store, or whoever follows it. */
  isClosed: 192,
  /** The store has been told that there is news, or looks for it by itself. */
  isTold: 256,
  /** The store has no room for more that is accepted; the client asks it instead. */
  isPaused: 320,
  /** For how many payloads of what length the client wants memory; written by the client. */
  wantedBytes: 384,
  wantedCount: 388,
  /** Loans that were made, counting up and beginning at 0 again; written by the store. */
  lent: 448,
} as const;

/** Where loans stand, and the bytes of one; the n-th is at n modulo {@link limits.ringLoansMax}. */
export const ringLoansStart = 1024;
export const ringLoanBytes = 16;

/** Where entries begin. */
export const ringDataStart = 4096;
/** What positions count in. */
export const ringUnitBytes = 64;

const magic = new TextEncoder().encode('WKVRING\0');
const version = 1;
const entryMagic = 0x45564b57; // 'WKVE'
const fixedBytes = 96;
const rowBytes = 56;
const rowAlignment = 8;
const entryFlags = { parent: 1, fingerprint: 2 } as const;
const blockFlags = { decoded: 1, lent: 2 } as const;
/** What stands in the place of a payload that lies in lent memory. */
const referenceBytes = 16;
const noPosition = 0xffffffff;

/** What the header of a ring says that does not change. */
export interface RingShape {
  readonly dataBytes: number;
  /** Bound into the checksum of every entry: that of the shared memory. */
  readonly seed: number;
}

export interface RingEntry {
  /** Units that it takes of the ring. */
  readonly units: number;
  /** Undefined: it fills the end of the data, where the next one has no room. */
  readonly save: RingSave | undefined;
}

/** A save that a client left. */
export interface RingSave {
  readonly namespace: Namespace;
  readonly parent: BlockKey | undefined;
  /** 64 hex characters, or undefined when unknown. */
  readonly fingerprint: string | undefined;
  readonly blocks: readonly RingBlock[];
}

export interface RingBlock {
  readonly key: BlockKey;
  readonly tokens: number;
  readonly position: number | undefined;
  readonly hasDecodedTokens: boolean;
  readonly length: number;
  /** Of the payload; that of one which lies in lent memory is yet to be compared. */
  readonly crc: number;
  readonly payload: Uint8Array | RingLoan;
}

/** Lent memory that holds a payload. */
export interface RingLoan {
  readonly segment: number;
  /** Of the extent, in units of 4 KiB. */
  readonly offset: number;
  readonly number: number;
}

/** An entry that is not as a client writes it. */
export class DamagedRing extends Error {}

/** The header of a new ring, whose other words are zero. */
export function encodeRingHeader({ dataBytes, seed }: RingShape): Uint8Array {
  const bytes = new Uint8Array(ringDataStart);
  bytes.set(magic, 0);
  const view = viewOf(bytes);
  view.setUint32(ringWords.version, version, true);
  view.setUint32(ringWords.dataBytes, dataBytes, true);
  view.setUint32(ringWords.seed, seed, true);
  return bytes;
}

/** What the header says; undefined when it is none of a file of that length. */
export function decodeRingHeader(header: Uint8Array, byteLength: number): RingShape | undefined {
  if (header.length < ringDataStart || !magic.every((byte, at) => header[at] === byte))
    return undefined;
  const view = viewOf(header);
  const dataBytes = view.getUint32(ringWords.dataBytes, true);
  const isSound =
    view.getUint32(ringWords.version, true) === version &&
    isPowerOfTwo(dataBytes) &&
    dataBytes >= ringUnitBytes &&
    byteLength === ringDataStart + dataBytes;
  return isSound ? { dataBytes, seed: view.getUint32(ringWords.seed, true) } : undefined;
}

/** Where the entry at a position begins, from the beginning of the data. */
export function ringOffsetOf(position: number, dataBytes: number): number {
  return (position % (dataBytes / ringUnitBytes)) * ringUnitBytes;
}

/** Units between two positions, which count up and begin at 0 again behind 32 bits. */
export function unitsBetween(tail: number, head: number): number {
  return (head - tail) >>> 0;
}

/**
 * The entry at the beginning of the bytes, which nobody else changes. A client may have written anything: nothing is
 * believed before the checksums hold.
 *
 * @param bytes from the position to the head, or to the end of the data where that comes first.
 * @throws DamagedRing when it is none.
 */
export function decodeRingEntry(bytes: Uint8Array, position: number, seed: number): RingEntry {
  const byteLength = entryLength(bytes);
  const entry = bytes.subarray(0, byteLength);
  const view = viewOf(entry);
  const units = byteLength / ringUnitBytes;
  const count = view.getUint32(24, true);
  if (count === 0 && byteLength === bytes.length) return { units, save: undefined };
  const shape = shapeOf(entry);
  const crc = crcOfDescription(entry.subarray(12, shape.descriptionBytes), position, seed);
  if (view.getUint32(8, true) !== crc)
    throw new DamagedRing('the checksum of an entry does not hold');
  return { units, save: decodeSave(entry, shape) };
}

/** What an entry says of its own length, when that can be so. */
function entryLength(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  if (bytes.length < ringUnitBytes || view.getUint32(0, true) !== entryMagic)
    throw new DamagedRing('an entry does not begin as one');
  const byteLength = view.getUint32(4, true);
  if (byteLength === 0 || byteLength % ringUnitBytes !== 0 || byteLength > bytes.length)
    throw new DamagedRing(`an entry of ${byteLength} bytes where there are ${bytes.length}`);
  return byteLength;
}

/** How what an entry says lies in it. */
interface EntryShape {
  readonly count: number;
  readonly namespaceBytes: number;
  readonly descriptionBytes: number;
}

function shapeOf(entry: Uint8Array): EntryShape {
  const view = viewOf(entry);
  const descriptionBytes = view.getUint32(16, true);
  const count = view.getUint32(24, true);
  const namespaceBytes = roundUp(view.getUint16(20, true), rowAlignment);
  const isFit =
    descriptionBytes === fixedBytes + namespaceBytes + count * rowBytes &&
    descriptionBytes <= entry.length;
  const isBounded =
    count > 0 && count <= limits.ringBlocksMax && count * limits.ringBlockBytesMin <= entry.length;
  if (isFit && isBounded) return { count, namespaceBytes, descriptionBytes };
  throw new DamagedRing(`an entry describes ${count} blocks in ${descriptionBytes} bytes`);
}

function decodeSave(bytes: Uint8Array, shape: EntryShape): RingSave {
  const view = viewOf(bytes);
  const flags = view.getUint16(22, true);
  const rows = fixedBytes + shape.namespaceBytes;
  const blocks: RingBlock[] = [];
  let at = shape.descriptionBytes;
  for (let row = rows; row < rows + shape.count * rowBytes; row += rowBytes) {
    const length = view.getUint32(row + 32, true);
    const crc = view.getUint32(row + 36, true);
    const position = view.getUint32(row + 44, true);
    const ownFlags = view.getUint32(row + 48, true);
    const isLent = (ownFlags & blockFlags.lent) !== 0;
    blocks.push({
      key: keyAt(bytes, row),
      tokens: view.getUint32(row + 40, true),
      position: position === noPosition ? undefined : position,
      hasDecodedTokens: (ownFlags & blockFlags.decoded) !== 0,
      ...{ length, crc },
      payload: isLent ? loanAt(bytes, at) : payloadAt(bytes, at, { length, crc }),
    });
    at += isLent ? referenceBytes : roundUp(length, rowAlignment);
  }
  return {
    namespace: namespaceOf(bytes.subarray(fixedBytes, fixedBytes + view.getUint16(20, true))),
    parent: (flags & entryFlags.parent) === 0 ? undefined : keyAt(bytes, 32),
    fingerprint:
      (flags & entryFlags.fingerprint) === 0 ? undefined : hexFromBytes(bytes.subarray(64, 96)),
    blocks,
  };
}

function payloadAt(
  bytes: Uint8Array,
  at: number,
  { length, crc }: { readonly length: number; readonly crc: number },
): Uint8Array {
  if (at + length > bytes.length) throw new DamagedRing('a payload goes beyond its entry');
  const payload = bytes.subarray(at, at + length);
  if (crc32cAppend(0, payload) === crc) return payload;
  throw new DamagedRing('the checksum of a payload does not hold');
}

function loanAt(bytes: Uint8Array, at: number): RingLoan {
  if (at + referenceBytes > bytes.length)
    throw new DamagedRing('a reference to lent memory goes beyond its entry');
  const view = viewOf(bytes);
  return {
    segment: view.getUint32(at, true),
    offset: view.getUint32(at + 4, true),
    number: view.getUint32(at + 8, true),
  };
}

/** Of what follows the checksum, for this position of this memory. */
function crcOfDescription(description: Uint8Array, position: number, seed: number): number {
  const place = new Uint8Array(8);
  viewOf(place).setUint32(0, seed, true);
  viewOf(place).setUint32(4, position, true);
  return crc32cAppend(crc32c(place), description);
}

function namespaceOf(bytes: Uint8Array): Namespace {
  try {
    return parseNamespace(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new DamagedRing('an entry names no namespace', { cause });
  }
}

function keyAt(bytes: Uint8Array, at: number): BlockKey {
  return blockKeyAt(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), at);
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}
