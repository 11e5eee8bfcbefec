import { limits } from '../../src/blocks/limits.ts';
import type { BlockToSave } from '../../src/blocks/kv-store.ts';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import { randomPayload } from '../../test/support/payloads.ts';

/** The batch of the bars: 40 blocks of 1 MiB. */
export const batchBlocks = 40;
export const blockBytes = 1024 * 1024;
export const batchBytes = batchBlocks * blockBytes;

/** The chain that is loaded without pause while small calls are timed. */
export const smallCallsLabel = 'small calls';

/** Where the child listens. */
export interface ChildPorts {
  readonly http: number;
  readonly plain: number;
  readonly nodeHttp: number;
}

/** A chain that nobody has saved before; all chains share their random bytes, a little shifted. */
export function batchOf(label: string, bytes: Uint8Array): readonly BlockToSave[] {
  const prefix = new Prefix(seedOf(`bench/http/${label}`));
  const count = batchBlocks * limits.blockTokensUnit;
  prefix.append(Array.from({ length: count }, (_, token) => token));
  return prefix.keys.map((key, index) => ({
    key,
    payload: bytes.subarray(index * 64, index * 64 + blockBytes),
    tokens: limits.blockTokensUnit,
  }));
}

export function batchMemory(): Uint8Array {
  return randomPayload('bench/http', blockBytes + batchBlocks * 64);
}
