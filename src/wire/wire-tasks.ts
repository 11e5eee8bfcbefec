import { crc32c } from '../base/crc32c.ts';
import { limits } from '../blocks/limits.ts';
import { decodePayloadInto, encodePayload } from '../format/payload-codec.ts';
import type { Zstd } from '../format/zstd.ts';
import type { CompressedForm } from '../protocol/read-messages.ts';

/** A payload to send: compressed where that gains something. */
export interface EncodedForWire {
  /** CRC32C of the payload itself. */
  readonly crc: number;
  readonly compressed:
    { readonly form: CompressedForm; readonly stored: Uint8Array<ArrayBuffer> } | undefined;
}

/** What a thread of a `WireCodec` is sent. */
export type WireTask =
  | { readonly kind: 'encode'; readonly payload: Uint8Array }
  | {
      readonly kind: 'decode';
      readonly stored: Uint8Array;
      readonly filter: CompressedForm['filter'];
      readonly target: Uint8Array;
    }
  | { readonly kind: 'warm-up' };

/** A link is measured in the time that this takes, so it is the fastest level. */
const options = { compress: true, level: 1 };

/** The half of the sender, as it runs in a thread. */
export function encodeForWire(payload: Uint8Array, zstd: Zstd): EncodedForWire {
  const crc = crc32c(payload);
  const { codec, filter, stored } = encodePayload(payload, options, zstd);
  if (codec === 'raw') return { crc, compressed: undefined };
  const { buffer } = stored;
  const isAlone = buffer instanceof ArrayBuffer && buffer.byteLength === stored.length;
  const own = isAlone ? new Uint8Array(buffer) : new Uint8Array(stored);
  return { crc, compressed: { form: { filter, length: own.length }, stored: own } };
}

/** The half of the receiver. Gives the CRC32C of what it wrote. */
export function decodeFromWire(
  stored: Uint8Array,
  filter: CompressedForm['filter'],
  target: Uint8Array,
  zstd: Zstd,
): number {
  decodePayloadInto({ codec: 'zstd', filter, stored, rawLength: target.length }, target, zstd);
  return crc32c(target);
}

/** Lets the code be compiled before a payload waits for it. */
export function warmUp(zstd: Zstd): void {
  const payload = new Uint8Array(limits.wireCompressBytesMin);
  for (let at = 0; at < payload.length; at += 2) payload[at] = (at * at) >>> 5;
  const { compressed } = encodeForWire(payload, zstd);
  if (compressed === undefined) return;
  const target = new Uint8Array(payload.length);
  decodeFromWire(compressed.stored, compressed.form.filter, target, zstd);
}
