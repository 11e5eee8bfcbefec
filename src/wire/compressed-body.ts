import { crc32c } from '../base/crc32c.ts';
import { encodeChecksum } from '../protocol/http1-bulk.ts';
import type { BulkPayload } from '../protocol/http1-bulk.ts';
import type { BodyPart } from '../protocol/http1-chunks.ts';
import { encodeForm } from '../protocol/http1-form.ts';
import { CompressionAhead } from './compression-ahead.ts';
import type { WireCodec } from './wire-codec.ts';
import type { EncodedForWire } from './wire-tasks.ts';

/** Told of each payload as it is about to be sent: its bytes, and those that travel for it. */
export type OnSent = (rawBytes: number, wireBytes: number) => void;

/**
 * The head of a bulk body of version 3 and its payloads in the order given, which is that from the last record to the
 * first: each compressed, ahead of its turn, where that gains something.
 */
export function* compressedParts(
  head: Uint8Array,
  payloads: readonly BulkPayload[],
  { codec, onSent }: { readonly codec: Pick<WireCodec, 'encode'>; readonly onSent: OnSent },
): Generator<BodyPart> {
  const ahead = new CompressionAhead(
    codec,
    payloads.map(({ payload }) => payload),
  );
  yield head;
  for (const one of payloads) yield ahead.take().then((encoded) => partsOf(one, encoded, onSent));
}

function partsOf(
  { payload, checksum }: BulkPayload,
  encoded: EncodedForWire | undefined,
  onSent: OnSent,
): readonly Uint8Array[] {
  const compressed = encoded?.compressed;
  const sent = compressed?.stored ?? payload;
  const crc = encodeChecksum(checksum ?? encoded?.crc ?? crc32c(payload));
  onSent(payload.length, sent.length);
  return [encodeForm(compressed?.form), sent, crc];
}
