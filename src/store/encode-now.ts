import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import type { Codec, Filter } from '../format/frame.ts';
import { encodePayload } from '../format/payload-codec.ts';
import type { Zstd } from '../format/zstd.ts';

/** A payload to bring into the form in which the object store keeps it. */
export interface EncodeTask {
  readonly payload: Uint8Array;
  /** What the payload's CRC32C must be: damaged bytes are never uploaded. */
  readonly crc: number;
  readonly compress: boolean;
  readonly level: number;
}

export interface EncodedPayload {
  readonly codec: Codec;
  readonly filter: Filter;
  /** The stored bytes; undefined when they are the payload itself. */
  readonly stored: Uint8Array | undefined;
  readonly crcOfStored: number;
  /** Gives the memory of what is stored back, once nobody reads it any more; absent where it is nobody else's. */
  readonly release?: (() => void) | undefined;
}

/** The encode half, as it runs in a worker; with a `target` as {@link encodePayload}. */
export function encodeNow(task: EncodeTask, zstd: () => Zstd, target?: Uint8Array): EncodedPayload {
  const { payload, compress, level } = task;
  const actual = requireCrc(task);
  if (!compress) return { codec: 'raw', filter: 'none', stored: undefined, crcOfStored: actual };
  const { codec, filter, stored } = encodePayload(payload, { compress, level }, zstd(), target);
  if (codec === 'raw') return { codec, filter, stored: undefined, crcOfStored: actual };
  return { codec, filter, stored, crcOfStored: crc32c(stored) };
}

/** The payload's checksum, when it is the one that was taken of it when it was accepted. */
export function requireCrc({ payload, crc }: EncodeTask): number {
  const actual = crc32c(payload);
  if (actual !== crc) {
    throw new StoreError('CORRUPT', `payload of ${payload.length} bytes fails its checksum`);
  }
  return actual;
}
