import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { blake3Hex } from '../../src/base/blake3.ts';
import { randomPayload, smoothPayload } from '../support/payloads.ts';

const poolBytes = 256 * 1024;

/** Payloads and keys of a world: cheap to make, and another one for every name. */
export class SimPayloads {
  readonly #pool: Uint8Array;
  readonly #keys = new Map<string, BlockKey>();

  constructor(seed: string, isCompressible: boolean) {
    this.#pool = isCompressible ? smoothPayload(seed, poolBytes) : randomPayload(seed, poolBytes);
  }

  /** A fresh array of bytes that depend on the name alone. */
  bytes(name: string, byteLength: number): Uint8Array {
    const hash = hashOf(name);
    const start = hash % (poolBytes - byteLength);
    const payload = this.#pool.slice(start, start + byteLength);
    // Windows of one pool overlap; the name in front tells them apart.
    for (let i = 0; i < Math.min(4, byteLength); i += 1) payload[i] = hash >>> (8 * i);
    return payload;
  }

  key(name: string): BlockKey {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = parseBlockKey(blake3Hex(new TextEncoder().encode(`sim/${name}`)));
      this.#keys.set(name, key);
    }
    return key;
  }

  /** The keys of the first `count` blocks of a chain. */
  chain(name: string, count: number): readonly BlockKey[] {
    return Array.from({ length: count }, (_, index) => this.key(`${name}/${index}`));
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
