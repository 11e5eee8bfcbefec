import { hexFromBytes } from '../../src/base/hex.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';

/** Number of the key that ends every chain of the clients: a block that is really there. */
export const tipNumber = 0x7fffffff;

const words = new Uint32Array(8);

/** A key that looks like a digest and depends on its number alone; bench/scale/known.c makes the same. */
export function keyOf(number: number): BlockKey {
  for (let word = 0; word < words.length; word += 1) {
    let mixed = Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(word + 1, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    words[word] = mixed ^ (mixed >>> 15);
  }
  return parseBlockKey(hexFromBytes(new Uint8Array(words.buffer)));
}
