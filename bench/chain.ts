import type { BlockToSave } from '../src/blocks/kv-store.ts';
import { limits } from '../src/blocks/limits.ts';
import { Prefix, seedOf } from '../src/blocks/prefix.ts';
import { randomPayload } from '../test/support/payloads.ts';

/** A chain of blocks, named by its seed: who knows seed and sizes can make it again. */
export interface ChainShape {
  readonly seed: string;
  readonly blocks: number;
  readonly blockBytes: number;
  /** The second half of every block is zeros. */
  readonly isHalfEmpty?: boolean;
}

/** The blocks of the chain, of random bytes, which do not compress. */
export function chainOf(shape: ChainShape): BlockToSave[] {
  const { seed, blocks, blockBytes, isHalfEmpty = false } = shape;
  const prefix = new Prefix(seedOf(seed));
  prefix.append(Int32Array.from({ length: blocks * limits.blockTokensUnit }, (_, i) => i));
  const bytes = randomPayload(seed, blockBytes + blocks * 64);
  // Each block is another window of the same random bytes, in memory of its own.
  const payloadAt = (i: number): Uint8Array => bytes.slice(i * 64, i * 64 + blockBytes);
  const emptied = (payload: Uint8Array): Uint8Array => payload.fill(0, blockBytes >>> 1);
  return prefix.keys.map((key, i) => ({
    key,
    payload: isHalfEmpty ? emptied(payloadAt(i)) : payloadAt(i),
    tokens: limits.blockTokensUnit,
    position: i * limits.blockTokensUnit,
  }));
}
