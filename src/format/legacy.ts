import { concatBytes, viewOf } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { EncodeOptions } from './payload-codec.ts';
import { checkZstdFrame, zstdFrameFault } from './zstd-frame.ts';
import { decompressFrame } from './zstd.ts';
import type { Zstd } from './zstd.ts';

/**
 * Bodies of v1 objects, as the Rust WombatKV wrote them: the payload itself, or the envelope
 *
 * ```text
 * 0 'WBZ1' | 4 algorithm u8 | 5 level u8 | 6 raw length u32 | 10 body
 * ```
 *
 * Neither form has a checksum; docs/FORMAT.md says what that leaves unchecked.
 */
const magic = Uint8Array.of(0x57, 0x42, 0x5a, 0x31); // 'WBZ1'
const headerBytes = 10;
const algorithmAt = 4;
const rawLengthAt = 6;
const algorithm = { none: 0, zstd: 1 } as const;

/** How a v1 body holds its payload. */
export interface LegacyBody {
  readonly codec: 'raw' | 'zstd';
  /** The payload, or the frame that holds it: a view of the body. */
  readonly content: Uint8Array;
  /** Bytes of the payload; nothing but the body itself says so. */
  readonly rawLength: number;
}

/** What begins the text that the Rust daemon stored in place of a value too large for its frames. */
const manifestStart = new TextEncoder().encode('WMBT_KV_SHM_LARGE_V1\n');

/**
 * True for the text that clients of the Rust version's shared-memory daemon stored under the key of
 * a value above 4 MiB, whose pieces lie under other keys. It is no payload, and nobody may get it
 * for one.
 */
export function isLargeValueManifest(payload: Uint8Array): boolean {
  return manifestStart.every((byte, index) => payload[index] === byte);
}

/**
 * Takes a v1 body apart, without decompressing it. A body without envelope is its own content.
 *
 * @throws StoreError `CORRUPT` when there is an envelope, be it with one wrong byte in its magic,
 * that states another length than it holds, more than a payload may have, or an unknown algorithm.
 */
export function splitLegacyBody(body: Uint8Array): LegacyBody {
  const matches = magicMatches(body);
  if (matches < magic.length) {
    if (matches === magic.length - 1 && isCoherent(body)) {
      throw corrupt('has a damaged magic number before an intact envelope');
    }
    return { codec: 'raw', content: body, rawLength: body.length };
  }
  if (body.length < headerBytes) throw corrupt(`is cut off at ${body.length} bytes`);
  const content = body.subarray(headerBytes);
  const rawLength = statedLength(body);
  if (rawLength > limits.payloadBytesMax) throw corrupt(`claims ${rawLength} bytes`);
  switch (body[algorithmAt]) {
    case algorithm.none:
      if (content.length === rawLength) return { codec: 'raw', content, rawLength };
      throw corrupt(`states ${rawLength} bytes and holds ${content.length}`);
    case algorithm.zstd:
      checkZstdFrame(content, rawLength);
      return { codec: 'zstd', content, rawLength };
    default:
      throw corrupt(`uses algorithm ${body[algorithmAt]}`);
  }
}

/**
 * The payload in a v1 object's body. A body without envelope is its own payload and returned
 * itself; that of an uncompressed envelope is a view of it.
 *
 * @throws StoreError `CORRUPT` as {@link splitLegacyBody}, and for a frame that does not decode.
 */
export function decodeLegacyBody(body: Uint8Array, zstd: Zstd): Uint8Array {
  const { codec, content, rawLength } = splitLegacyBody(body);
  return codec === 'raw' ? content : decompressFrame(content, rawLength, zstd);
}

/**
 * A v1 body for the payload, one that the Rust version reads as well: compressed when that is
 * shorter, else as it is (the payload itself, not a copy), or in an uncompressed envelope when it
 * would be taken for one.
 */
export function encodeLegacyBody(
  payload: Uint8Array,
  options: EncodeOptions,
  zstd: () => Zstd,
): Uint8Array {
  if (options.compress) {
    const stored = zstd().compress(payload, options.level);
    if (stored.length + headerBytes < payload.length) {
      return envelope(payload.length, [algorithm.zstd, options.level], stored);
    }
  }
  if (magicMatches(payload) < magic.length - 1) return payload;
  return envelope(payload.length, [algorithm.none, 0], payload);
}

function envelope(
  rawLength: number,
  [algorithmId, level]: readonly [number, number],
  content: Uint8Array,
): Uint8Array {
  const header = new Uint8Array(headerBytes);
  header.set(magic);
  header[algorithmAt] = algorithmId;
  header[algorithmAt + 1] = level;
  viewOf(header).setUint32(rawLengthAt, rawLength, true);
  return concatBytes([header, content]);
}

/** How many bytes of the magic are right. */
function magicMatches(body: Uint8Array): number {
  let matches = 0;
  for (let i = 0; i < magic.length; i += 1) if (body[i] === magic[i]) matches += 1;
  return matches;
}

/** True when everything behind the magic is what an envelope would have there. */
function isCoherent(body: Uint8Array): boolean {
  if (body.length < headerBytes) return false;
  const content = body.subarray(headerBytes);
  const rawLength = statedLength(body);
  if (body[algorithmAt] === algorithm.none) return content.length === rawLength;
  return body[algorithmAt] === algorithm.zstd && zstdFrameFault(content, rawLength) === undefined;
}

function statedLength(body: Uint8Array): number {
  return viewOf(body).getUint32(rawLengthAt, true);
}

function corrupt(what: string): StoreError {
  return new StoreError('CORRUPT', `v1 body ${what}`);
}
