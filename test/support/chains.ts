import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { BlockToSave } from '../../src/blocks/kv-store.ts';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import { randomPayload } from './payloads.ts';
import { seededRandom } from './random.ts';

/** Tokens of a block in every chain made here. */
export const tokensPerBlock = 128;

/** A chain of blocks with their payloads. Equal names and sizes give equal chains. */
export interface Chain {
  /** The tip of the empty chain. */
  readonly seed: BlockKey;
  readonly keys: readonly BlockKey[];
  readonly blocks: readonly BlockToSave[];
  /** Bytes of all payloads. */
  readonly byteLength: number;
}

/** A chain of `count` blocks of `byteLength` incompressible bytes each. */
export function chainOf(name: string, count: number, byteLength = 1000): Chain {
  return chainOfSizes(name, new Array<number>(count).fill(byteLength));
}

/** A chain with one block of incompressible bytes for every size. */
export function chainOfSizes(name: string, sizes: readonly number[]): Chain {
  return chainOfPayloads(
    name,
    sizes.map((size, index) => randomPayload(`${name}/${index}`, size)),
  );
}

/** A chain with these payloads. Its keys depend on the name alone. */
export function chainOfPayloads(name: string, payloads: readonly Uint8Array[]): Chain {
  const prefix = new Prefix(seedOf(`conformance/${name}`), tokensPerBlock);
  prefix.append(tokensOf(name, payloads.length * tokensPerBlock));
  const keys = prefix.keys.slice();
  const blocks = keys.map((key, index) => ({
    key,
    payload: payloads[index],
    tokens: tokensPerBlock,
    position: index * tokensPerBlock,
  }));
  const byteLength = payloads.reduce((sum, payload) => sum + payload.length, 0);
  return { seed: prefix.seed, keys, blocks, byteLength };
}

/** The same keys with other payloads of the same sizes. */
export function withOtherPayloads(chain: Chain, variant: string): Chain {
  const blocks = chain.blocks.map((block, index) => ({
    ...block,
    payload: randomPayload(`${variant}/${index}`, block.payload.length),
  }));
  return { ...chain, blocks };
}

/** The blocks from `start` up to `end` as a chain of their own; its seed is the key before them. */
export function sliceChain(chain: Chain, start: number, end = chain.keys.length): Chain {
  const blocks = chain.blocks.slice(start, end);
  return {
    seed: start === 0 ? chain.seed : chain.keys[start - 1],
    keys: chain.keys.slice(start, end),
    blocks,
    byteLength: blocks.reduce((sum, block) => sum + block.payload.length, 0),
  };
}

/** Tokens of a 32-bit vocabulary, negative ones included, that depend on the seed alone. */
export function tokensOf(seed: string | number, count: number): number[] {
  const random = seededRandom(`tokens/${seed}`);
  return Array.from({ length: count }, () => random.word() | 0);
}
