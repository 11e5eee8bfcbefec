import { blake3Hex } from '../base/blake3.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import { keysOfBlocks } from '../blocks/call-arguments.ts';
import type { BlockToSave } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { SharedReader } from '../cache/shared-reader.ts';

const blockCount = 40;
/** From the hundredth on the loops over keys are compiled (docs/decisions/0098). */
const rounds = 150;

export interface Rehearsal {
  readonly reader: SharedReader;
  readonly namespace: Namespace;
  /** What a save does before it knows that it is known. */
  readonly look: (blocks: readonly BlockToSave[]) => unknown;
}

/**
 * Does what calls do that shared memory answers, with keys that nobody has: so the code is compiled before
 * the first call comes, and calls that come seldom find it so. It takes a few milliseconds.
 */
export function rehearse({ reader, namespace, look }: Rehearsal): void {
  const payload = new Uint8Array(0);
  const blocks = Array.from({ length: blockCount }, (_, index) => ({
    key: parseBlockKey(blake3Hex(Uint8Array.of(index))),
    payload,
  }));
  const wish = { exact: false, fingerprint: undefined };
  for (let round = 0; round < rounds; round += 1) {
    const keys = keysOfBlocks(blocks) ?? [];
    look(blocks);
    reader.areStored(namespace, keys);
    reader.pin(namespace, keys, wish).release();
  }
}
