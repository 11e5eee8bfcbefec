import type { MissReason } from '../../blocks/kv-store.ts';

/** What the adapter of one context did. All are counts since it was made. */
export interface LlamaStatistics {
  /** Restores, and tokens that were not prefilled thanks to them. */
  restores: number;
  restoredTokens: number;
  /** Tokens of prompts that were computed in batches: all but a last one computed by itself. */
  prefilledTokens: number;
  /** State exports, and what of them was new and stored. */
  exports: number;
  savedBlocks: number;
  savedTails: number;
  savedBytes: number;
  /** Saves that had nothing new, and did not export. */
  skippedSaves: number;
  /** States not saved because they are larger than `stateFileBytesMax`. */
  tooLarge: number;
  /** States not saved because the sequence was shifted, or somebody else loaded it. */
  tainted: number;
  /**
   * Prompts whose stored beginning was not looked for, or not loaded, because computing it was
   * expected to be as fast: the adapter's own reason of a miss. Stores do not count these.
   */
  notWorthIt: number;
  /**
   * Prompts that were looked for and not restored to their last whole block, by the store's reason
   * for the first block that was missing. With `notWorthIt` these are all reasons that there are.
   */
  readonly misses: Record<MissReason, number>;
  /** Lookups, loads and saves that failed; the engine went on without. */
  failures: number;
}

/** All zero. */
export function newStatistics(): LlamaStatistics {
  return {
    restores: 0,
    restoredTokens: 0,
    prefilledTokens: 0,
    exports: 0,
    savedBlocks: 0,
    savedTails: 0,
    savedBytes: 0,
    skippedSaves: 0,
    tooLarge: 0,
    tainted: 0,
    notWorthIt: 0,
    misses: noMisses(),
    failures: 0,
  };
}

function noMisses(): Record<MissReason, number> {
  return {
    unknown: 0,
    evicted: 0,
    corrupt: 0,
    decoded: 0,
    'other-fingerprint': 0,
    deadline: 0,
    unavailable: 0,
    incompatible: 0,
    closed: 0,
  };
}
