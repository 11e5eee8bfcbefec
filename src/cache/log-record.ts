import { assert } from '../base/assert.ts';
import { roundUp, viewOf } from '../base/bytes.ts';
import { crc32cAppend, crc32cBefore } from '../base/crc32c.ts';
import { bytesFromHex, hexFromBytes } from '../base/hex.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { isBlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';

/**
 * One record of the disk tier's log. `docs/FORMAT.md` (Local files) draws it.
 *
 * - `payload`: an accepted or fetched payload, which follows the header.
 * - `save`: the keys of one save, 32 bytes each, so that its uploads can list following keys.
 * - `uploaded`: the payload of that sequence number is in the object store.
 * - `removed`: payloads of that key up to that sequence number are gone.
 */
export type RecordType = 'payload' | 'save' | 'uploaded' | 'removed';

export interface LogRecord {
  readonly type: RecordType;
  readonly kind: PayloadKind;
  readonly namespace: Namespace;
  readonly key: BlockKey;
  readonly parent: BlockKey | undefined;
  /** 64 hex characters, or undefined when unknown. */
  readonly fingerprint: string | undefined;
  readonly tokens: number;
  readonly position: number | undefined;
  readonly hasDecodedTokens: boolean;
  /** True when the payload was in the object store already as the record was written. */
  readonly isDurable: boolean;
  /** Grows with every payload of a directory; `uploaded` and `removed` name that of their payload. */
  readonly sequence: number;
  /** The save that the payload came with, and its index among that save's keys. */
  readonly saveId: number;
  readonly saveIndex: number;
  readonly payloadLength: number;
  readonly payloadCrc: number;
}

/** Where a record stands; bound into its checksum so that copied bytes are no record elsewhere. */
export interface RecordPlace {
  readonly segment: number;
  readonly offset: number;
  /** CRC32C of the segment's salt: all that is ever needed of it. */
  readonly seed: number;
}

/** Records begin at multiples of this many bytes. */
export const recordAlignment = 64;
/** Bytes of the longest header. */
export const recordHeaderBytesMax = 256;

const magic = 0x52564b57; // 'WKVR'
const fixedBytes = 160;
const noPosition = 0xffffffff;
const types: readonly RecordType[] = ['payload', 'save', 'uploaded', 'removed'];
const kinds: readonly PayloadKind[] = ['block', 'tail', 'raw-tail'];
const decodedFlag = 1;
const durableFlag = 2;
const encoder = new TextEncoder();
/** Keeps a byte order mark: without it the name would be another tenant's. */
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Bytes from the record's beginning to the next one. */
export function recordLength(record: LogRecord): number {
  return roundUp(headerLength(record) + record.payloadLength, recordAlignment);
}

/** Bytes from the record's beginning to its payload. */
export function headerLength(record: Pick<LogRecord, 'namespace'>): number {
  return fixedBytes + Buffer.byteLength(record.namespace) + 4;
}

/** The header of the record at that place. */
export function encodeRecord(record: LogRecord, place: RecordPlace): Uint8Array {
  const name = encoder.encode(record.namespace);
  const bytes = new Uint8Array(fixedBytes + name.length + 4);
  assert(bytes.length <= recordHeaderBytesMax, `record header of ${bytes.length} bytes`);
  assert(place.offset % recordAlignment === 0, `record at offset ${place.offset}`);
  const view = viewOf(bytes);
  view.setUint32(0, magic, true);
  view.setUint8(4, types.indexOf(record.type));
  view.setUint8(5, kinds.indexOf(record.kind));
  const flags = (record.hasDecodedTokens ? decodedFlag : 0) | (record.isDurable ? durableFlag : 0);
  view.setUint8(6, flags);
  view.setUint8(7, name.length);
  view.setUint32(8, record.tokens, true);
  view.setUint32(12, record.position ?? noPosition, true);
  view.setBigUint64(16, BigInt(record.payloadLength), true);
  view.setUint32(24, record.payloadCrc, true);
  view.setUint32(28, place.segment, true);
  view.setBigUint64(32, BigInt(place.offset), true);
  view.setBigUint64(40, BigInt(record.sequence), true);
  view.setBigUint64(48, BigInt(record.saveId), true);
  view.setUint32(56, record.saveIndex, true);
  setKey(bytes, 64, record.key);
  setKey(bytes, 96, record.parent);
  setKey(bytes, 128, record.fingerprint);
  bytes.set(name, fixedBytes);
  const end = bytes.length - 4;
  view.setUint32(end, crc32cAppend(place.seed, bytes.subarray(0, end)), true);
  return bytes;
}

/**
 * The record whose header begins the bytes, or undefined when no intact header for this place does.
 * Nothing is taken from a header before its checksum holds.
 */
export function decodeRecord(bytes: Uint8Array, place: RecordPlace): LogRecord | undefined {
  if (bytes.length < fixedBytes + 4) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== magic) return undefined;
  const end = fixedBytes + view.getUint8(7);
  if (bytes.length < end + 4) return undefined;
  if (view.getUint32(end, true) !== crc32cAppend(place.seed, bytes.subarray(0, end))) {
    return undefined;
  }
  if (view.getUint32(28, true) !== place.segment) return undefined;
  if (Number(view.getBigUint64(32, true)) !== place.offset) return undefined;
  return readFields(bytes, view, end);
}

/** What a header says of itself that was not compared with its checksum, for that needs the seed. */
export interface UncheckedHeader {
  /** The seed under which its checksum holds. */
  readonly seed: number;
  /** Bytes from the record's beginning to the next one. */
  readonly recordLength: number;
}

/** The header that the bytes begin with, if they have the look of one of that place. */
export function lookAtHeader(
  bytes: Uint8Array,
  place: Omit<RecordPlace, 'seed'>,
): UncheckedHeader | undefined {
  if (bytes.length < fixedBytes + 4) return undefined;
  const view = viewOf(bytes);
  const end = fixedBytes + view.getUint8(7);
  const payloadLength = Number(view.getBigUint64(16, true));
  const isLikely =
    view.getUint32(0, true) === magic &&
    bytes.length >= end + 4 &&
    payloadLength <= limits.payloadBytesMax &&
    view.getUint32(28, true) === place.segment &&
    view.getBigUint64(32, true) === BigInt(place.offset);
  if (!isLikely) return undefined;
  const seed = crc32cBefore(view.getUint32(end, true), bytes.subarray(0, end));
  return { seed, recordLength: roundUp(end + 4 + payloadLength, recordAlignment) };
}

function readFields(bytes: Uint8Array, view: DataView, end: number): LogRecord | undefined {
  const type = types[view.getUint8(4)];
  const kind = kinds[view.getUint8(5)];
  const payloadLength = Number(view.getBigUint64(16, true));
  if (type === undefined || kind === undefined) return undefined;
  if (payloadLength > limits.payloadBytesMax) return undefined;
  const flags = view.getUint8(6);
  const position = view.getUint32(12, true);
  return {
    type,
    kind,
    namespace: parseNamespace(strictDecoder.decode(bytes.subarray(fixedBytes, end))),
    key: keyAt(bytes, 64),
    // Every tail has a tip, and a caller may have given one of zeros.
    parent: kind === 'tail' ? keyAt(bytes, 96) : knownKeyAt(bytes, 96),
    fingerprint: knownKeyAt(bytes, 128),
    tokens: view.getUint32(8, true),
    position: position === noPosition ? undefined : position,
    hasDecodedTokens: (flags & decodedFlag) !== 0,
    isDurable: (flags & durableFlag) !== 0,
    sequence: Number(view.getBigUint64(40, true)),
    saveId: Number(view.getBigUint64(48, true)),
    saveIndex: view.getUint32(56, true),
    payloadLength,
    payloadCrc: view.getUint32(24, true),
  };
}

/** The payload of a `save` record: its keys one after another. */
export function encodeKeys(keys: readonly BlockKey[]): Uint8Array {
  const bytes = new Uint8Array(32 * keys.length);
  keys.forEach((key, index) => setKey(bytes, 32 * index, key));
  return bytes;
}

/** The keys in the payload of a `save` record. */
export function decodeKeys(bytes: Uint8Array): readonly BlockKey[] {
  const keys: BlockKey[] = [];
  for (let at = 0; at + 32 <= bytes.length; at += 32) keys.push(keyAt(bytes, at));
  return keys;
}

/** Writes 32 bytes of hex text; absent means all zero, which no digest is, though a key may be. */
function setKey(bytes: Uint8Array, at: number, hex: string | undefined): void {
  if (hex === undefined) return;
  const key = bytesFromHex(hex);
  assert(key?.length === 32, `not 64 hex characters: ${hex}`);
  bytes.set(key, at);
}

function keyAt(bytes: Uint8Array, at: number): BlockKey {
  const hex = hexFromBytes(bytes.subarray(at, at + 32));
  assert(isBlockKey(hex), 'hex of 32 bytes');
  return hex;
}

/** The key at that place, or undefined when it is all zero. */
function knownKeyAt(bytes: Uint8Array, at: number): BlockKey | undefined {
  return bytes.subarray(at, at + 32).every((byte) => byte === 0) ? undefined : keyAt(bytes, at);
}
