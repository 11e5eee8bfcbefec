import assert from 'node:assert/strict';
import { isStoreError } from '../../src/base/errors.ts';
import { decodeLegacyBody } from '../../src/format/legacy.ts';
import type { Zstd } from '../../src/format/zstd.ts';
import type { RustObject } from './rust-bucket.ts';

/** What became of changed WBZ1 bodies. */
export interface SweepCounts {
  refused: number;
  equal: number;
  /** Another payload of the same length: what the v1 format cannot tell. */
  altered: number;
}

/**
 * Changes one byte of the body at each position, one mask after another, and decodes. Whatever
 * gives another length, or throws anything but `CORRUPT`, fails the test.
 */
export function sweepChanges(
  { objectKey, body }: RustObject,
  positions: Iterable<number>,
  masks: readonly number[],
  zstd: Zstd,
): SweepCounts {
  const counts: SweepCounts = { refused: 0, equal: 0, altered: 0 };
  const payload = Buffer.from(decodeLegacyBody(body, zstd));
  const changed = body.slice();
  for (const position of positions) {
    for (const mask of masks) {
      changed[position] = body[position] ^ mask;
      const decoded = decodeOrRefuse(changed, zstd);
      const place = `${objectKey}: byte ${position} changed by ${mask}`;
      if (decoded !== undefined) assert.equal(decoded.length, payload.length, place);
      counts[outcomeOf(decoded, payload)] += 1;
    }
    changed[position] = body[position];
  }
  return counts;
}

function outcomeOf(decoded: Uint8Array | undefined, payload: Buffer): keyof SweepCounts {
  if (decoded === undefined) return 'refused';
  return payload.equals(decoded) ? 'equal' : 'altered';
}

/** The payload, or undefined when the body is refused as corrupt. */
export function decodeOrRefuse(body: Uint8Array, zstd: Zstd): Uint8Array | undefined {
  try {
    return decodeLegacyBody(body, zstd);
  } catch (error) {
    if (isStoreError(error, 'CORRUPT')) return undefined;
    throw error;
  }
}
