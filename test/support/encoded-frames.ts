import { crc32c } from '../../src/base/crc32c.ts';
import { boundCrc, namespaceDigestOf } from '../../src/format/frame.ts';
import type { FrameHeader } from '../../src/format/frame.ts';
import type { EncodedPayload } from '../../src/store/encode-now.ts';
import { keyOf, tenant } from './cached-payloads.ts';

const namespaceDigest = namespaceDigestOf(tenant);

/** The header of the frame that would hold the encoded payload. */
export function headerOf(payload: Uint8Array, encoded: EncodedPayload): FrameHeader {
  const key = keyOf('transcoded');
  const storedLength = (encoded.stored ?? payload).length;
  return {
    kind: 'block',
    codec: encoded.codec,
    filter: encoded.filter,
    hasDecodedTokens: false,
    tokens: 128,
    position: undefined,
    rawLength: payload.length,
    storedLength,
    rawCrc: crc32c(payload),
    storedCrc: boundCrc(namespaceDigest, key, storedLength, encoded.crcOfStored),
    key,
    parent: undefined,
    namespaceDigest,
    fingerprint: undefined,
    following: [],
  };
}
