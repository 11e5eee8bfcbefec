import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { viewOf } from '../base/bytes.ts';
import { frameTypeCodes, frameTypeOf } from './frame-types.ts';
import type { FrameType } from './frame-types.ts';

/**
 * The one framing of Unix sockets and TCP, drawn in docs/PROTOCOL.md.
 *
 * ```text
 *  0 magic 'WKVP'   4 version   5 type   6 flags (0)   8 id   12 length   16 CRC32C of the body
 * 20 CRC32C of bytes 0 to 19   24 body
 * ```
 *
 * The body of `data` is a piece of a payload: its checksum is that of the payload, which its ends
 * compute and compare, so that the middle needs not touch it.
 */
export const frameHeaderBytes = 24;

/** The version of the framing, in every frame. */
export const framingVersion = 1;

/** `WKVP`, read as a little-endian number. */
const magic = 0x50564b57;

export interface FrameHeader {
  readonly type: FrameType;
  /** The call that the frame belongs to; 0: the connection. */
  readonly id: number;
  /** Bytes of the body. Only believed because the header's own checksum holds. */
  readonly length: number;
  readonly crcOfBody: number;
}

/** The header of a frame with this body. */
export function encodeFrameHeader(type: FrameType, id: number, body: Uint8Array): Uint8Array {
  return writeHeader({ type, id, length: body.length, crcOfBody: crc32c(body) });
}

/** The header before a piece of a payload. */
export function encodeDataHeader(id: number, length: number): Uint8Array {
  return writeHeader({ type: 'data', id, length, crcOfBody: 0 });
}

/** Header and body of a frame. */
export function encodeFrame(
  type: FrameType,
  id: number,
  body: Uint8Array = noBytes,
): readonly Uint8Array[] {
  const header = encodeFrameHeader(type, id, body);
  return body.length === 0 ? [header] : [header, body];
}

const noBytes = new Uint8Array(0);

function writeHeader({ type, id, length, crcOfBody }: FrameHeader): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes);
  const view = viewOf(bytes);
  view.setUint32(0, magic, true);
  view.setUint8(4, framingVersion);
  view.setUint8(5, frameTypeCodes[type]);
  view.setUint32(8, id, true);
  view.setUint32(12, length, true);
  view.setUint32(16, crcOfBody, true);
  view.setUint32(20, crc32c(bytes.subarray(0, 20)), true);
  return bytes;
}

/**
 * The header at the beginning of the bytes, of which there are enough.
 *
 * @throws StoreError `INVALID` for what is no frame, `INCOMPATIBLE` for a framing or a type of a
 * newer version, `CORRUPT` when the checksum does not hold.
 */
export function decodeFrameHeader(bytes: Uint8Array): FrameHeader {
  const view = viewOf(bytes);
  if (view.getUint32(0, true) !== magic) {
    throw new StoreError('INVALID', 'bytes do not begin with a frame of WombatKV');
  }
  const version = view.getUint8(4);
  if (version !== framingVersion) {
    const message = `framing version ${version}; this one speaks ${framingVersion}`;
    throw new StoreError('INCOMPATIBLE', message);
  }
  const crc = crc32c(bytes.subarray(0, 20));
  if (view.getUint32(20, true) !== crc) {
    throw new StoreError('CORRUPT', 'the checksum of a frame header does not hold');
  }
  const code = view.getUint8(5);
  const type = frameTypeOf(code);
  if (type === undefined) throw new StoreError('INCOMPATIBLE', `unknown frame type ${code}`);
  if (view.getUint16(6, true) !== 0) {
    throw new StoreError('INCOMPATIBLE', `unknown frame flags ${view.getUint16(6, true)}`);
  }
  return {
    type,
    id: view.getUint32(8, true),
    length: view.getUint32(12, true),
    crcOfBody: view.getUint32(16, true),
  };
}
