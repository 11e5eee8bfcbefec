import type { LlamaContextSequence } from 'node-llama-cpp';
import { StoreError } from '../../base/errors.ts';

/** Erases cells; those behind a range move into its place. A range may be given either way round. */
export type EraseRanges = (
  ranges: readonly { readonly start: number; readonly end: number }[],
  options?: unknown,
) => Promise<void>;

/** The method of a sequence through which every erasure goes; not part of its public types. */
export interface SequenceInternals {
  _eraseContextTokenRanges: EraseRanges;
}

/** What a sequence passes to itself when it evaluates under locks that it holds already. */
export interface InternalEvaluateOptions {
  readonly _skipLock?: boolean | undefined;
}

/**
 * The sequence with its inner method. Fails closed: without the one that sees every erasure nothing
 * can be stored safely.
 *
 * @throws StoreError `INCOMPATIBLE`.
 */
export function internalsOf(
  sequence: LlamaContextSequence,
): LlamaContextSequence & SequenceInternals {
  if (hasInternals(sequence)) return sequence;
  throw new StoreError('INCOMPATIBLE', 'this version of node-llama-cpp hides how cells are erased');
}

function hasInternals(sequence: object): sequence is LlamaContextSequence & SequenceInternals {
  return (
    '_eraseContextTokenRanges' in sequence &&
    typeof sequence._eraseContextTokenRanges === 'function'
  );
}
