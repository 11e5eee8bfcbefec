import assert from 'node:assert/strict';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOfPayloads } from './chains.ts';
import type { Chain } from './chains.ts';
import { randomPayload, smoothPayload } from './payloads.ts';

/** Payloads that shrink, one of an odd length, and those that do not: noise, and what is too short. */
export function mixedChain(name: string): Chain {
  return chainOfPayloads(name, [
    smoothPayload(`${name}/0`, 300_000),
    smoothPayload(`${name}/1`, 300_001),
    randomPayload(`${name}/2`, 200_000),
    smoothPayload(`${name}/3`, 2000),
    new Uint8Array(0),
    smoothPayload(`${name}/5`, 1_500_000),
  ]);
}

/** Those of a {@link mixedChain} that shrink. */
export const shrinking = { payloads: 3, rawBytes: 2_100_001 };

/** Loads the whole chain and compares every byte. */
export async function assertHeld(store: KvStore, chain: Chain): Promise<void> {
  const borrow = await store.load(chain.keys);
  assert.equal(borrow.reason, undefined);
  borrow.blocks.forEach(({ payload }, at) => {
    assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload), `payload ${at}`);
  });
  assert.equal(borrow.blocks.length, chain.keys.length);
  borrow.release();
}
