import assert from 'node:assert/strict';
import { blake3Hex } from '../../src/base/blake3.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';

/**
 * What a child is doing. It says so before it begins and as soon as it has ended, so that the
 * parent knows in what a kill hit it. `announced-files.ts` says where the first four begin and end;
 * `save` and `close` are the calls.
 */
export type Phase = 'write' | 'commit' | 'upload' | 'evict' | 'save' | 'close';

/**
 * A line of a child's report. Written with one system call, after what it says has happened.
 *
 * - `begin`: from here on the child does that, until `end`. Phases overlap.
 * - `block`, `tail`, `raw`: accepted. `try`: about to be given to the store as a raw tail.
 */
export type ReportLine =
  | { readonly kind: 'begin' | 'end'; readonly phase: Phase }
  | { readonly kind: 'block'; readonly key: string; readonly digest: string }
  | {
      readonly kind: 'tail';
      readonly tip: string;
      readonly tokens: readonly number[];
      readonly digest: string;
    }
  | { readonly kind: 'raw' | 'try'; readonly tip: string; readonly digest: string };

/** Everything that children said was accepted, over any number of their lives. */
export class Accepted {
  readonly blocks = new Map<BlockKey, string>();
  readonly tails: { readonly tip: BlockKey; readonly tokens: readonly number[]; digest: string }[] =
    [];
  /** For each tip the digests that it may have: the last one accepted, and any tried since. */
  readonly rawTails = new Map<BlockKey, Set<string>>();
  /** Segments that children have removed. */
  evictions = 0;

  get count(): number {
    return this.blocks.size + this.tails.length + this.rawTails.size;
  }

  hear(line: ReportLine): void {
    switch (line.kind) {
      case 'begin':
        return;
      case 'end':
        if (line.phase === 'evict') this.evictions += 1;
        return;
      case 'block':
        this.blocks.set(parseBlockKey(line.key), line.digest);
        return;
      case 'tail': {
        const { tokens, digest } = line;
        this.tails.push({ tip: parseBlockKey(line.tip), tokens, digest });
        return;
      }
      case 'raw':
        this.rawTails.set(parseBlockKey(line.tip), new Set([line.digest]));
        return;
      case 'try':
        // What was never accepted may be there too; only then nothing need be.
        this.rawTails.get(parseBlockKey(line.tip))?.add(line.digest);
        return;
      default:
        line satisfies never;
    }
  }

  /** Checks that the store gives every accepted byte. */
  async check(store: KvStore): Promise<void> {
    for (const [key, digest] of this.blocks) {
      const borrow = await store.load([key]);
      assert.equal(borrow.blocks.length, 1, `block ${key}: ${borrow.reason}`);
      assert.equal(blake3Hex(borrow.blocks[0].payload), digest, `block ${key}`);
      borrow.release();
    }
    for (const { tip, tokens, digest } of this.tails) {
      const borrow = await store.loadTail({ tip, tokens });
      assert.equal(borrow?.tokens, tokens.length, `tail of ${tip}`);
      assert.equal(blake3Hex(borrow.payload), digest, `tail of ${tip}`);
      borrow.release();
    }
    for (const [tip, digests] of this.rawTails) {
      const borrow = await store.loadRawTail(tip);
      assert.ok(borrow !== undefined, `raw tail of ${tip}`);
      assert.ok(digests.has(blake3Hex(borrow.payload)), `raw tail of ${tip} is another one`);
      borrow.release();
    }
  }
}
