import { blake3Hex } from '../../src/base/blake3.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { PayloadFacts } from '../../src/cache/cache-entry.ts';
import type { LogRecord } from '../../src/cache/log-record.ts';

/** The namespace of whatever is made here. */
export const tenant = parseNamespace('tenant');

/** A key that depends on the name alone. */
export function keyOf(name: string | number): BlockKey {
  return parseBlockKey(blake3Hex(new TextEncoder().encode(`key/${name}`)));
}

/** The facts of a block with that payload; its key comes from the name. */
export function factsOf(
  name: string | number,
  payload: Uint8Array,
  changes: Partial<PayloadFacts> = {},
): PayloadFacts {
  return {
    namespace: tenant,
    kind: 'block',
    key: keyOf(name),
    parent: undefined,
    fingerprint: undefined,
    tokens: 128,
    position: undefined,
    hasDecodedTokens: false,
    length: payload.length,
    crc: crc32c(payload),
    ...changes,
  };
}

/** The record of a pending block with that payload; its key comes from the name. */
export function recordOf(
  name: string | number,
  payload: Uint8Array,
  changes: Partial<LogRecord> = {},
): LogRecord {
  const { length: payloadLength, crc: payloadCrc, ...facts } = factsOf(name, payload);
  return {
    ...facts,
    type: 'payload',
    isDurable: false,
    sequence: 1,
    saveId: 1,
    saveIndex: 0,
    payloadLength,
    payloadCrc,
    ...changes,
  };
}
