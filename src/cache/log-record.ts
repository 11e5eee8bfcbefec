import { assert } from '../base/assert.ts';
import { roundUp, viewOf } from '../base/bytes.ts';
import { crc32cAppend, crc32cBefore, crc32cOfRange } from '../base/crc32c.ts';
import { bytesFromHex } from '../base/hex.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { blockKeyAt } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { payloadKinds } from '../blocks/payload-kind.ts';
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
  view.setUint8(5, payloadKinds.indexOf(record.kind));
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
  return new RecordReader(bytes).read(0, bytes.length, place);
}

/**
 * Reads the headers in one array of bytes, which may change between two reads. A log has many: so no
 * view is made for each of them, and names that follow each other alike are made once
 * (decisions/0036).
 */
export class RecordReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #namespace: Namespace | undefined;
  #namespaceBytes = new Uint8Array(0);
  #fingerprint: string | undefined;
  readonly #fingerprintBytes = new Uint8Array(32);

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = viewOf(bytes);
  }

  /** As {@link decodeRecord}, of the bytes from `at` to `end`. */
  read(at: number, end: number, place: RecordPlace): LogRecord | undefined {
    if (end - at < fixedBytes + 4) return undefined;
    const view = this.#view;
    if (view.getUint32(at, true) !== magic) return undefined;
    const nameEnd = at + fixedBytes + view.getUint8(at + 7);
    if (end < nameEnd + 4) return undefined;
    const crc = crc32cOfRange(place.seed, this.#bytes, at, nameEnd);
    if (view.getUint32(nameEnd, true) !== crc) return undefined;
    if (view.getUint32(at + 28, true) !== place.segment) return undefined;
    if (uint64At(view, at + 32) !== place.offset) return undefined;
    return this.#fields(at, nameEnd);
  }

  #fields(at: number, nameEnd: number): LogRecord | undefined {
    const view = this.#view;
    const bytes = this.#bytes;
    const type = types[view.getUint8(at + 4)];
    const kind = payloadKinds[view.getUint8(at + 5)];
    const payloadLength = uint64At(view, at + 16);
    if (type === undefined || kind === undefined) return undefined;
    if (payloadLength > limits.payloadBytesMax) return undefined;
    const flags = view.getUint8(at + 6);
    const position = view.getUint32(at + 12, true);
    return {
      type,
      kind,
      namespace: this.#namespaceAt(at + fixedBytes, nameEnd),
      key: blockKeyAt(bytes, at + 64),
      // Every tail has a tip, and a caller may have given one of zeros.
      parent: kind === 'tail' || !isZero(bytes, at + 96) ? blockKeyAt(bytes, at + 96) : undefined,
      fingerprint: this.#fingerprintAt(at + 128),
      tokens: view.getUint32(at + 8, true),
      position: position === noPosition ? undefined : position,
      hasDecodedTokens: (flags & decodedFlag) !== 0,
      isDurable: (flags & durableFlag) !== 0,
      sequence: uint64At(view, at + 40),
      saveId: uint64At(view, at + 48),
      saveIndex: view.getUint32(at + 56, true),
      payloadLength,
      payloadCrc: view.getUint32(at + 24, true),
    };
  }

  #namespaceAt(at: number, end: number): Namespace {
    if (this.#namespace !== undefined && isAt(this.#bytes, at, end, this.#namespaceBytes)) {
      return this.#namespace;
    }
    this.#namespaceBytes = this.#bytes.slice(at, end);
    this.#namespace = parseNamespace(strictDecoder.decode(this.#namespaceBytes));
    return this.#namespace;
  }

  #fingerprintAt(at: number): string | undefined {
    if (isZero(this.#bytes, at)) return undefined;
    if (this.#fingerprint !== undefined && isAt(this.#bytes, at, at + 32, this.#fingerprintBytes)) {
      return this.#fingerprint;
    }
    this.#fingerprintBytes.set(this.#bytes.subarray(at, at + 32));
    this.#fingerprint = blockKeyAt(this.#bytes, at);
    return this.#fingerprint;
  }
}

/** Bytes from the beginning of the header there to its payload. It must be one that was read. */
export function headerLengthAt(bytes: Uint8Array, at: number): number {
  return fixedBytes + bytes[at + 7] + 4;
}

/** A number below 2^53, which all of ours are; larger ones come out rounded. */
function uint64At(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

function isZero(bytes: Uint8Array, at: number): boolean {
  for (let index = at; index < at + 32; index += 1) if (bytes[index] !== 0) return false;
  return true;
}

function isAt(bytes: Uint8Array, at: number, end: number, expected: Uint8Array): boolean {
  if (end - at !== expected.length) return false;
  for (let index = 0; index < expected.length; index += 1) {
    if (bytes[at + index] !== expected[index]) return false;
  }
  return true;
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

/** The payload of a `save` record: its keys one after another. */
export function encodeKeys(keys: readonly BlockKey[]): Uint8Array {
  const bytes = new Uint8Array(32 * keys.length);
  keys.forEach((key, index) => setKey(bytes, 32 * index, key));
  return bytes;
}

/** The keys in the payload of a `save` record. */
export function decodeKeys(bytes: Uint8Array): readonly BlockKey[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const keys: BlockKey[] = [];
  for (let at = 0; at + 32 <= bytes.length; at += 32) keys.push(blockKeyAt(buffer, at));
  return keys;
}

/** Writes 32 bytes of hex text; absent means all zero, which no digest is, though a key may be. */
function setKey(bytes: Uint8Array, at: number, hex: string | undefined): void {
  if (hex === undefined) return;
  const key = bytesFromHex(hex);
  assert(key?.length === 32, `not 64 hex characters: ${hex}`);
  bytes.set(key, at);
}
