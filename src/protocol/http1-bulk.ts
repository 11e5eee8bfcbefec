import { assert } from '../base/assert.ts';
import { concatBytes, equalBytes, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { bytesFromHex, hexFromBytes } from '../base/hex.ts';
import { isBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Tier } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';

/**
 * The body of a bulk request or answer: many payloads in one message, all lengths first, so that
 * whoever receives knows where every byte belongs before it comes. Checksums follow payloads, so
 * that the sender need not read all of them before it sends the first. Little-endian.
 *
 * ```text
 *  0  8  magic "WMBTHTP1", or "WMBTHTP2": payloads come from that of the last record to that of the first, or
 *        "WMBTHTP3": that too, and a form stands before each (http1-form.ts)
 *  8  4  number of records                    n
 * 12  4  bytes of the attributes              a
 * 16  4  CRC32C of bytes 0 to 15, then of the records and the attributes
 * 20  4  zero
 * 24  64 n  records
 *          0  32  key
 *         32   4  payload bytes
 *         36   4  tokens, 0: unknown
 *         40   4  position, 0xffffffff: unknown
 *         44   4  flags: 1 holds decoded tokens, 2 payload left out
 *         48   4  tier of an answer: 0 none, 1 memory, 2 disk, 3 object
 *         52  12  zero
 *     a  attributes: one JSON object in UTF-8
 *     for each record whose payload is not left out
 *          8  version 3: its form
 *             the payload, or what it was made into
 *          4  CRC32C of the payload
 * ```
 */
export interface BulkRecord {
  readonly key: BlockKey;
  readonly byteLength: number;
  readonly tokens: number;
  readonly position: number | undefined;
  readonly hasDecodedTokens: boolean;
  /** The sender believes that the receiver has the payload; its bytes do not follow. */
  readonly isLeftOut: boolean;
  readonly tier: Tier | undefined;
}

/** What the attributes of each operation hold is in docs/HTTP.md. */
export type BulkAttributes = Readonly<Record<string, unknown>>;

export interface BulkHead {
  readonly records: readonly BulkRecord[];
  readonly attributes: BulkAttributes;
  /**
   * Payloads come from that of the last record to that of the first, so that a save can be stored as they come:
   * nobody finds part of it from its first block. Absent: in the order of their records.
   */
  readonly isLastFirst?: boolean;
  /** Payloads may come compressed, so that the length of the body is not known before; they come last first then. */
  readonly hasForms?: boolean;
}

export const bulkType = 'application/vnd.wombatkv.bulk';
/** How many bytes of payloads a request without a length will bring, so that the server can wait for room. */
export const payloadBytesHeader = 'wombatkv-payload-bytes';
export const bulkPreambleBytes = 24;
export const checksumBytes = 4;
const recordBytes = 64;
const attributesBytesMax = 256 * 1024;
const encoder = new TextEncoder();
const magic = encoder.encode('WMBTHTP1');
const lastFirstMagic = encoder.encode('WMBTHTP2');
const formsMagic = encoder.encode('WMBTHTP3');
/** The newest body that a server of this version takes of any save, which it tells who asks it what it has. */
export const bulkVersion = 2;
const unknownPosition = 0xffffffff;
const tiers: readonly (Tier | undefined)[] = [undefined, 'memory', 'disk', 'object'];

/** All of the body that stands before the payloads. */
export function encodeBulkHead(head: BulkHead): Uint8Array {
  const { records, attributes } = head;
  const json = encoder.encode(JSON.stringify(attributes));
  const preamble = new Uint8Array(bulkPreambleBytes);
  const table = new Uint8Array(records.length * recordBytes);
  records.forEach((record, index) => writeRecord(table, index * recordBytes, record));
  const rest = concatBytes([table, json]);
  const view = viewOf(preamble);
  preamble.set(magicOf(head));
  view.setUint32(8, records.length, true);
  view.setUint32(12, json.length, true);
  view.setUint32(16, crc32c(concatBytes([preamble.subarray(0, 16), rest])), true);
  return concatBytes([preamble, rest]);
}

/**
 * Bytes of records and attributes that follow the preamble.
 *
 * @throws StoreError `INVALID` when it is none, or claims more than a call may hold.
 */
export function bulkTableBytes(preamble: Uint8Array): number {
  if (![magic, lastFirstMagic, formsMagic].some((one) => beginsWith(preamble, one))) {
    throw invalid('does not begin with the magic of a bulk body');
  }
  const view = viewOf(preamble);
  const records = view.getUint32(8, true);
  const attributes = view.getUint32(12, true);
  if (records > limits.keysPerCallMax) {
    throw invalid(`claims ${records} records; at most ${limits.keysPerCallMax} fit one call`);
  }
  if (attributes > attributesBytesMax) {
    throw invalid(`claims ${attributes} bytes of attributes; at most ${attributesBytesMax} fit`);
  }
  if (view.getUint32(20, true) !== 0) throw invalid('has a preamble whose last bytes are not zero');
  return records * recordBytes + attributes;
}

/**
 * What the preamble and the bytes behind it say.
 *
 * @throws StoreError `INVALID` when they are damaged or hold what no sender writes.
 */
export function decodeBulkHead(preamble: Uint8Array, table: Uint8Array): BulkHead {
  const view = viewOf(preamble);
  const expected = view.getUint32(16, true);
  const actual = crc32c(concatBytes([preamble.subarray(0, 16), table]));
  if (actual !== expected) {
    throw invalid(`has a table with checksum ${hex(actual)}; it says ${hex(expected)}`);
  }
  const count = view.getUint32(8, true);
  const records: BulkRecord[] = [];
  for (let index = 0; index < count; index += 1) {
    records.push(readRecord(table.subarray(index * recordBytes, (index + 1) * recordBytes), index));
  }
  const attributes = readAttributes(table.subarray(count * recordBytes));
  if (beginsWith(preamble, magic)) return { records, attributes };
  const hasForms = beginsWith(preamble, formsMagic);
  return { records, attributes, isLastFirst: true, ...(hasForms ? { hasForms } : {}) };
}

function magicOf({ isLastFirst = false, hasForms = false }: BulkHead): Uint8Array {
  assert(isLastFirst || !hasForms, 'payloads with forms come last first');
  if (hasForms) return formsMagic;
  return isLastFirst ? lastFirstMagic : magic;
}

function beginsWith(preamble: Uint8Array, start: Uint8Array): boolean {
  return equalBytes(preamble.subarray(0, start.length), start);
}

/** Bytes that follow the head where no payload has a form: payloads and their checksums. */
export function payloadBytesOf(records: readonly BulkRecord[]): number {
  return records.reduce(
    (sum, { isLeftOut, byteLength }) => sum + (isLeftOut ? 0 : byteLength + checksumBytes),
    0,
  );
}

/** A payload, and its CRC32C when it is known already. */
export interface BulkPayload {
  readonly payload: Uint8Array;
  readonly checksum?: number | undefined;
}

/**
 * The head and the payloads, in the order that it says, with their checksums, each computed, if need be, when its
 * turn comes.
 */
export function* bulkParts(
  head: Uint8Array,
  payloads: Iterable<BulkPayload>,
): Generator<Uint8Array> {
  yield head;
  for (const { payload, checksum } of payloads) {
    if (payload.length > 0) yield payload;
    yield encodeChecksum(checksum ?? crc32c(payload));
  }
}

export function encodeChecksum(checksum: number): Uint8Array {
  const bytes = new Uint8Array(checksumBytes);
  viewOf(bytes).setUint32(0, checksum, true);
  return bytes;
}

function writeRecord(table: Uint8Array, at: number, record: BulkRecord): void {
  const view = viewOf(table);
  table.set(keyBytes(record.key), at);
  view.setUint32(at + 32, record.byteLength, true);
  view.setUint32(at + 36, record.tokens, true);
  view.setUint32(at + 40, record.position ?? unknownPosition, true);
  view.setUint32(at + 44, (record.hasDecodedTokens ? 1 : 0) | (record.isLeftOut ? 2 : 0), true);
  view.setUint32(at + 48, tiers.indexOf(record.tier), true);
}

function readRecord(bytes: Uint8Array, index: number): BulkRecord {
  const view = viewOf(bytes);
  const key = hexFromBytes(bytes.subarray(0, 32));
  if (!isBlockKey(key)) throw invalid(`has a record ${index} without a key`);
  const byteLength = view.getUint32(32, true);
  const position = view.getUint32(40, true);
  const flags = view.getUint32(44, true);
  const tier = view.getUint32(48, true);
  if (byteLength > limits.payloadBytesMax) {
    throw new StoreError(
      'TOO_LARGE',
      `record ${index} claims ${byteLength} bytes; at most ${limits.payloadBytesMax} can be stored`,
    );
  }
  if (flags > 3 || tier >= tiers.length || bytes.subarray(52).some((byte) => byte !== 0)) {
    throw invalid(`has a record ${index} with flags ${flags} and tier ${tier}`);
  }
  return {
    key,
    byteLength,
    tokens: view.getUint32(36, true),
    position: position === unknownPosition ? undefined : position,
    hasDecodedTokens: (flags & 1) !== 0,
    isLeftOut: (flags & 2) !== 0,
    tier: tiers[tier],
  };
}

function keyBytes(key: BlockKey): Uint8Array {
  const bytes = bytesFromHex(key);
  if (bytes === undefined) throw new RangeError(`not a key: ${key}`);
  return bytes;
}

function readAttributes(json: Uint8Array): BulkAttributes {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
    if (isObject(value)) return value;
  } catch (cause) {
    throw new StoreError('INVALID', 'the bulk body has attributes that are no JSON', { cause });
  }
  throw invalid('has attributes that are no JSON object');
}

function isObject(value: unknown): value is BulkAttributes {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(what: string): StoreError {
  return new StoreError('INVALID', `the bulk body ${what}`);
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
