import { assert, assertDefined } from '../base/assert.ts';
import { blake3, blake3Bytes } from '../base/blake3.ts';
import { equalBytes, viewOf } from '../base/bytes.ts';
import { crc32c, crc32cAppend, crc32cCombine } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { bytesFromHex, hexFromBytes, writeHex } from '../base/hex.ts';
import { isBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';

/** How the stored bytes were made from the filtered ones; ids 0 and 1. */
export type Codec = 'raw' | 'zstd';

/**
 * What was done to the payload before the codec; ids 0 to 2. `shuffle2` takes 2-byte values apart:
 * all low bytes, then all high bytes, then an odd last byte. `split2` does the same, and leaves the
 * low bytes out of the codec: they are stored as they are, before what the codec made of the rest.
 */
export type Filter = 'none' | 'shuffle2' | 'split2';

/** A frame holds one payload and is of its kind. */
export type FrameKind = PayloadKind;

/** Everything a frame says about its payload. docs/FORMAT.md draws where each field lies. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly codec: Codec;
  readonly filter: Filter;
  /** True when some of the tokens were decoded one by one, so that their KV may differ in rounding. */
  readonly hasDecodedTokens: boolean;
  /** Tokens that the payload covers; 0 when unknown. */
  readonly tokens: number;
  /** Position of the first token in its sequence. */
  readonly position: number | undefined;
  /** Bytes of the payload; at most `payloadBytesMax`, as is `storedLength`. */
  readonly rawLength: number;
  /** Bytes that follow the header. */
  readonly storedLength: number;
  /** CRC32C of the raw payload. */
  readonly rawCrc: number;
  /** CRC32C of the stored bytes, bound to namespace and key: see {@link boundCrc}. */
  readonly storedCrc: number;
  /** A block's key; a tail's digest; a raw tail's tip. */
  readonly key: BlockKey;
  /** A block's previous key, a tail's tip. A hint. A key of zeros cannot be told from none. */
  readonly parent: BlockKey | undefined;
  /** BLAKE3 of the namespace's UTF-8: {@link namespaceDigestOf}. */
  readonly namespaceDigest: Uint8Array;
  /** Identity of the model as 64 hex characters; zeros mean unknown. */
  readonly fingerprint: string | undefined;
  /** The keys that come next in the chain, at most `followingKeysMax`. */
  readonly following: readonly BlockKey[];
}

/** What the reader asked for, to compare with what a frame says it is. */
export interface ExpectedFrame {
  readonly kind: FrameKind;
  readonly key: BlockKey;
  readonly namespaceDigest: Uint8Array;
  /** Bytes of the whole object, when known. */
  readonly byteLength?: number;
}

/** Bytes of a header without following keys. */
export const frameFixedBytes = 192;

const keyBytes = 32;
const magic = 0x46564b57; // 'WKVF' read as a little-endian u32
const version = 2;
const positionUnknown = 0xffffffff;
const u32Max = 0xffffffff;
const twoTo32 = 2 ** 32;

/** Offsets of the fixed fields; docs/FORMAT.md has the drawing. */
const at = {
  magic: 0,
  version: 4,
  headerLength: 6,
  codec: 8,
  filter: 9,
  flags: 10,
  tokens: 12,
  position: 16,
  followingCount: 20,
  rawLength: 24,
  storedLength: 32,
  rawCrc: 40,
  storedCrc: 44,
  key: 48,
  parent: 80,
  namespaceDigest: 112,
  fingerprint: 144,
  reserved: 176,
  headerCrc: 188,
} as const;

const flag = { tail: 1, decodedTokens: 2, rawTail: 4 } as const;
const flagsKnown = flag.tail | flag.decodedTokens | flag.rawTail;

/** Ids are places in these lists. */
const codecs: readonly Codec[] = ['raw', 'zstd'];
const filters: readonly Filter[] = ['none', 'shuffle2', 'split2'];

/** Bytes of a header with that many following keys. */
export function frameHeaderLength(followingCount: number): number {
  return frameFixedBytes + keyBytes * followingCount;
}

/** The header's bytes; the stored bytes follow them in the object. */
export function encodeFrameHeader(header: FrameHeader): Uint8Array {
  assertEncodable(header);
  const bytes = new Uint8Array(frameHeaderLength(header.following.length));
  const view = viewOf(bytes);
  const buffer = Buffer.from(bytes.buffer);
  view.setUint32(at.magic, magic, true);
  view.setUint16(at.version, version, true);
  view.setUint16(at.headerLength, bytes.length, true);
  view.setUint8(at.codec, codecs.indexOf(header.codec));
  view.setUint8(at.filter, filters.indexOf(header.filter));
  view.setUint16(at.flags, flagsOf(header), true);
  view.setUint32(at.tokens, header.tokens, true);
  view.setUint32(at.position, header.position ?? positionUnknown, true);
  view.setUint32(at.followingCount, header.following.length, true);
  view.setBigUint64(at.rawLength, BigInt(header.rawLength), true);
  view.setBigUint64(at.storedLength, BigInt(header.storedLength), true);
  view.setUint32(at.rawCrc, header.rawCrc, true);
  view.setUint32(at.storedCrc, header.storedCrc, true);
  setDigest(buffer, at.key, header.key);
  if (header.parent !== undefined) setDigest(buffer, at.parent, header.parent);
  bytes.set(header.namespaceDigest, at.namespaceDigest);
  if (header.fingerprint !== undefined) setDigest(buffer, at.fingerprint, header.fingerprint);
  let next = frameFixedBytes;
  for (const key of header.following) {
    setDigest(buffer, next, key);
    next += keyBytes;
  }
  view.setUint32(at.headerCrc, headerCrc(bytes), true);
  return bytes;
}

/**
 * What the header at the start of the bytes says. They must hold the whole header; what follows it
 * is not looked at. Shares no memory with its input.
 *
 * @throws StoreError `INCOMPATIBLE` when a newer writer made it, `CORRUPT` for anything else that is
 * not a header. Nothing else is ever thrown, whatever the bytes.
 */
export function decodeFrameHeader(bytes: Uint8Array): FrameHeader {
  const { headerLength, storedLength } = peekFrameLength(bytes);
  if (bytes.length < headerLength) {
    throw corrupt(`frame header cut off: ${bytes.length} of ${headerLength} bytes`);
  }
  const view = viewOf(bytes);
  const stated = view.getUint32(at.headerCrc, true);
  const computed = headerCrc(bytes.subarray(0, headerLength));
  if (stated !== computed) {
    throw corrupt(`frame header checksum is ${hex32(computed)}, stated ${hex32(stated)}`);
  }
  const codec = codecs[bytes[at.codec]];
  const filter = filters[bytes[at.filter]];
  const flags = view.getUint16(at.flags, true);
  checkKnown(bytes, flags);
  const rawLength = readLength(view, at.rawLength);
  if (codec === 'raw' && rawLength !== storedLength) {
    throw corrupt(`frame stores ${storedLength} bytes for ${rawLength} without a codec`);
  }
  const position = view.getUint32(at.position, true);
  return {
    kind: kindOf(flags),
    codec,
    filter,
    hasDecodedTokens: (flags & flag.decodedTokens) !== 0,
    tokens: view.getUint32(at.tokens, true),
    position: position === positionUnknown ? undefined : position,
    rawLength,
    storedLength,
    rawCrc: view.getUint32(at.rawCrc, true),
    storedCrc: view.getUint32(at.storedCrc, true),
    key: readKey(bytes, at.key),
    parent: isZero(bytes, at.parent, keyBytes) ? undefined : readKey(bytes, at.parent),
    namespaceDigest: bytes.slice(at.namespaceDigest, at.namespaceDigest + blake3Bytes),
    fingerprint: isZero(bytes, at.fingerprint, keyBytes)
      ? undefined
      : readKey(bytes, at.fingerprint),
    following: readFollowing(bytes, view.getUint32(at.followingCount, true)),
  };
}

/**
 * The lengths that the first 192 bytes state, within their limits but before any checksum: enough
 * to know how much to read. Throws as {@link decodeFrameHeader} does.
 */
export function peekFrameLength(bytes: Uint8Array): {
  headerLength: number;
  storedLength: number;
} {
  if (bytes.length < frameFixedBytes) {
    throw corrupt(`frame cut off: ${bytes.length} bytes, a header has ${frameFixedBytes} or more`);
  }
  const view = viewOf(bytes);
  const foundMagic = view.getUint32(at.magic, true);
  if (foundMagic !== magic) throw corrupt(`no frame: begins with ${hex32(foundMagic)}`);
  const foundVersion = view.getUint16(at.version, true);
  if (foundVersion > version) {
    throw incompatible(`frame has version ${foundVersion}, this program reads up to ${version}`);
  }
  if (foundVersion < version) throw corrupt(`no frame has version ${foundVersion}`);
  const count = view.getUint32(at.followingCount, true);
  const headerLength = view.getUint16(at.headerLength, true);
  if (count > limits.followingKeysMax || headerLength !== frameHeaderLength(count)) {
    throw corrupt(`frame header of ${headerLength} bytes claims ${count} following keys`);
  }
  return { headerLength, storedLength: readLength(view, at.storedLength) };
}

/**
 * The CRC32C of `namespaceDigest ‖ key ‖ stored`, given the CRC32C of the stored bytes: they are
 * not read again. It makes an object put under another key or into another namespace as detectable
 * as a flipped bit.
 */
export function boundCrc(
  namespaceDigest: Uint8Array,
  key: BlockKey,
  storedLength: number,
  crcOfStored: number,
): number {
  assert(namespaceDigest.length === blake3Bytes, `digest of ${namespaceDigest.length} bytes`);
  const crcOfBinding = crc32cAppend(crc32c(namespaceDigest), digestBytes(key));
  return crc32cCombine(crcOfBinding, crcOfStored, storedLength);
}

/**
 * Compares a decoded header with what was asked for.
 *
 * @throws StoreError `CORRUPT` when the frame is another one or the object has another length.
 */
export function checkFrame(header: FrameHeader, expected: ExpectedFrame): void {
  if (header.kind !== expected.kind) {
    throw corrupt(`frame of ${expected.key} is a ${header.kind}, not a ${expected.kind}`);
  }
  if (header.key !== expected.key) {
    throw corrupt(`frame of ${expected.key} says that it is ${header.key}`);
  }
  if (!equalBytes(header.namespaceDigest, expected.namespaceDigest)) {
    throw corrupt(`frame of ${expected.key} belongs to another namespace`);
  }
  const byteLength = frameHeaderLength(header.following.length) + header.storedLength;
  if (expected.byteLength !== undefined && expected.byteLength !== byteLength) {
    throw corrupt(
      `frame of ${expected.key} has ${expected.byteLength} bytes, its header says ${byteLength}`,
    );
  }
}

/** The digest by which frames name their namespace. */
export function namespaceDigestOf(namespace: Namespace): Uint8Array {
  return blake3(new TextEncoder().encode(namespace));
}

function assertEncodable(header: FrameHeader): void {
  const { tokens, position, rawLength, storedLength, following, namespaceDigest } = header;
  assert(isCount(tokens, u32Max), `frame tokens ${tokens}`);
  assert(position === undefined || isCount(position, u32Max - 1), `frame position ${position}`);
  assert(isCount(rawLength, limits.payloadBytesMax), `frame raw length ${rawLength}`);
  assert(isCount(storedLength, limits.payloadBytesMax), `frame stored length ${storedLength}`);
  assert(header.codec !== 'raw' || rawLength === storedLength, 'raw codec changes the length');
  assert(isCount(header.rawCrc, u32Max) && isCount(header.storedCrc, u32Max), 'frame checksums');
  assert(following.length <= limits.followingKeysMax, `${following.length} following keys`);
  assert(namespaceDigest.length === blake3Bytes, `digest of ${namespaceDigest.length} bytes`);
}

function isCount(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= most;
}

function flagsOf(header: FrameHeader): number {
  const decoded = header.hasDecodedTokens ? flag.decodedTokens : 0;
  switch (header.kind) {
    case 'block':
      return decoded;
    case 'tail':
      return decoded | flag.tail;
    case 'raw-tail':
      return decoded | flag.rawTail;
    default:
      return header.kind satisfies never;
  }
}

function kindOf(flags: number): FrameKind {
  switch (flags & (flag.tail | flag.rawTail)) {
    case 0:
      return 'block';
    case flag.tail:
      return 'tail';
    case flag.rawTail:
      return 'raw-tail';
    default:
      throw corrupt('frame claims to be a tail and a raw tail');
  }
}

/** Called after the checksum held, so that what is unknown was really written so. */
function checkKnown(bytes: Uint8Array, flags: number): void {
  if (bytes[at.codec] >= codecs.length) throw incompatible(`frame codec ${bytes[at.codec]}`);
  if (bytes[at.filter] >= filters.length) throw incompatible(`frame filter ${bytes[at.filter]}`);
  if ((flags & ~flagsKnown) !== 0) throw incompatible(`frame flags ${hex32(flags)}`);
  if (!isZero(bytes, at.reserved, at.headerCrc - at.reserved)) {
    throw incompatible('frame uses bytes that this version reserves');
  }
}

/** A u64 no larger than a payload may be. Above 2^53 the sum is inexact but still too large. */
function readLength(view: DataView, offset: number): number {
  const length = view.getUint32(offset, true) + twoTo32 * view.getUint32(offset + 4, true);
  if (length > limits.payloadBytesMax) {
    throw corrupt(`frame claims ${length} bytes, at most ${limits.payloadBytesMax} are allowed`);
  }
  return length;
}

function readFollowing(bytes: Uint8Array, count: number): BlockKey[] {
  const keys: BlockKey[] = [];
  for (let i = 0; i < count; i += 1) keys.push(readKey(bytes, frameHeaderLength(i)));
  return keys;
}

function readKey(bytes: Uint8Array, offset: number): BlockKey {
  const hex = hexFromBytes(bytes.subarray(offset, offset + keyBytes));
  assert(isBlockKey(hex), `${keyBytes} bytes make a key`);
  return hex;
}

function digestBytes(hex: string): Uint8Array {
  const bytes = assertDefined(bytesFromHex(hex), 'hex digest');
  assert(bytes.length === keyBytes, `digest of ${bytes.length} bytes`);
  return bytes;
}

function setDigest(into: Buffer, offset: number, hex: string): void {
  assert(hex.length === 2 * keyBytes && writeHex(hex, into, offset), 'hex digest');
}

function isZero(bytes: Uint8Array, offset: number, length: number): boolean {
  for (let i = offset; i < offset + length; i += 1) if (bytes[i] !== 0) return false;
  return true;
}

/** Over all of the header but the checksum itself. */
function headerCrc(header: Uint8Array): number {
  return crc32cAppend(crc32c(header.subarray(0, at.headerCrc)), header.subarray(frameFixedBytes));
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

function corrupt(message: string): StoreError {
  return new StoreError('CORRUPT', message);
}

function incompatible(message: string): StoreError {
  return new StoreError('INCOMPATIBLE', `${message}; a newer version wrote it`);
}
