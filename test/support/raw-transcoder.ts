import { encodeNow } from '../../src/store/encode-now.ts';
import { decodeNow } from '../../src/store/early-decodes.ts';
import { decodeLegacyNow, encodeLegacyNow } from '../../src/store/transcoder.ts';
import type { Transcoder } from '../../src/store/transcoder.ts';

/** Checks every checksum, stores everything raw, and needs no thread. */
export const rawTranscoder: Transcoder = {
  encode: async (task) => encodeNow({ ...task, compress: false }, noZstd),
  decode: async (task) => decodeNow(task, noZstd),
  encodeLegacy: async (task) => encodeLegacyNow({ ...task, compress: false }, noZstd),
  decodeLegacy: async (task) => decodeLegacyNow(task, noZstd),
  close: async () => undefined,
};

function noZstd(): never {
  throw new Error('nothing is compressed here');
}
