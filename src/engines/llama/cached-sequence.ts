import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import { StoreError } from '../../base/errors.ts';
import type { Clock, ScheduledCall } from '../../platform/clock.ts';
import type { LlamaRestore } from './llama-restore.ts';
import type { LlamaSave } from './llama-save.ts';
import type { LlamaStatistics } from './llama-statistics.ts';
import type { Payback } from './payback.ts';
import { SequenceHistory } from './sequence-history.ts';

export interface CachedSequenceParts {
  readonly clock: Clock;
  readonly restore: LlamaRestore;
  readonly save: LlamaSave;
  readonly payback: Payback;
  readonly statistics: LlamaStatistics;
  readonly blockTokens: number;
  /** Rest of a sequence after an answer before it is saved, in milliseconds. */
  readonly saveDelayMs: number;
}

/** Ends of prompts remembered for their tails; a conversation needs its last few. */
const tailEndsMax = 4;

type EvaluateWithMetadata = LlamaContextSequence['evaluateWithMetadata'];
type EvaluateOptions = NonNullable<Parameters<LlamaContextSequence['evaluate']>[1]>;
type EraseRanges = (
  ranges: readonly { readonly start: number; readonly end: number }[],
  options?: unknown,
) => Promise<void>;

/** The method of a sequence through which every erasure goes; not part of its public types. */
interface SequenceInternals {
  _eraseContextTokenRanges: EraseRanges;
}

/** The methods of a sequence as they were before they were wrapped. */
interface PlainMethods {
  readonly evaluateWithMetadata: EvaluateWithMetadata;
  readonly prefill: LlamaContextSequence['evaluateWithoutGeneratingNewTokens'];
  readonly controlledEvaluate: LlamaContextSequence['controlledEvaluate'];
  readonly adapt: LlamaContextSequence['adaptStateToTokens'];
  readonly loadState: LlamaContextSequence['loadStateFromFile'];
  readonly erase: EraseRanges;
}

/**
 * Gives one sequence of node-llama-cpp its memory: wraps its methods in place, so that whatever
 * drives it (a chat session, a completion, a program) restores before it evaluates and saves after
 * it answered.
 *
 * Prefill is cut where the exactness rule wants it, with and without a restore: at the last block
 * boundary below the last token, and before the last token. So the same tokens are computed in the
 * same batches in every process.
 */
export class CachedSequence {
  readonly sequence: LlamaContextSequence;
  readonly #parts: CachedSequenceParts;
  readonly #plain: PlainMethods;
  readonly #history = new SequenceHistory();
  readonly #tailEnds: number[] = [];
  #scheduled: ScheduledCall | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** Calls of the engine under way; a save waits until there is none. */
  #active = 0;
  #isRestoring = false;

  /** @throws StoreError `INCOMPATIBLE` when the sequence is not of the kind that is known. */
  constructor(sequence: LlamaContextSequence, parts: CachedSequenceParts) {
    this.sequence = sequence;
    this.#parts = parts;
    const internals = internalsOf(sequence);
    this.#plain = {
      evaluateWithMetadata: sequence.evaluateWithMetadata.bind(sequence),
      prefill: sequence.evaluateWithoutGeneratingNewTokens.bind(sequence),
      controlledEvaluate: sequence.controlledEvaluate.bind(sequence),
      adapt: sequence.adaptStateToTokens.bind(sequence),
      loadState: sequence.loadStateFromFile.bind(sequence),
      erase: internals._eraseContextTokenRanges.bind(sequence),
    };
    this.#wrap(internals);
  }

  /** Saves now what is new, and resolves when that is done. */
  async settle(): Promise<void> {
    this.#scheduled?.cancel();
    this.#scheduled = undefined;
    await this.#saving;
    if (!this.sequence.disposed) await this.#saveNow();
  }

  #wrap(internals: SequenceInternals): void {
    const { sequence } = this;
    internals._eraseContextTokenRanges = (ranges, options) => this.#erase(ranges, options);
    sequence.adaptStateToTokens = (tokens, allowShift) => this.#adapt(tokens, allowShift);
    sequence.evaluateWithoutGeneratingNewTokens = (tokens, options) =>
      this.#prefill(tokens, options);
    sequence.controlledEvaluate = (input, options) => this.#controlled(input, options);
    sequence.loadStateFromFile = (path, risk) => this.#loadForeign(path, risk);
    const evaluate = this.#evaluate.bind(this);
    sequence.evaluateWithMetadata = evaluate as EvaluateWithMetadata;
  }

  /** Cells that stay in front of an erasure are sound; what is moved or computed behind is not. */
  async #erase(
    ranges: readonly { readonly start: number; readonly end: number }[],
    options?: unknown,
  ): Promise<void> {
    const before = this.sequence.nextTokenIndex;
    const starts = ranges.filter(({ start, end }) => start < end && end < before);
    for (const { start } of starts) this.#history.taint(start);
    await this.#plain.erase(ranges, options);
    this.#history.cutTo(this.sequence.nextTokenIndex);
  }

  async #adapt(tokens: Token[], allowShift?: boolean): Promise<void> {
    await this.#busy(async () => {
      await this.#restore(tokens);
      await this.#plain.adapt(tokens, allowShift);
    });
  }

  async #loadForeign(path: string, risk: { acceptRisk: true }): Promise<void> {
    await this.#plain.loadState(path, risk);
    if (!this.#isRestoring) this.#history.taint(0);
  }

  /** Prefill without an answer: blocks first, then the rest, as before an answer. */
  async #prefill(tokens: Token[], options?: EvaluateOptions): Promise<void> {
    await this.#busy(async () => {
      const all = [...this.sequence.contextTokens, ...tokens];
      if (!this.#isPlain(all)) return this.#plain.prefill(tokens, options);
      await this.#restore(all);
      await this.#prefillTo(all, all.length, options);
      this.#noteTailEnd(all.length);
      return undefined;
    });
  }

  async *#evaluate(
    tokens: Token[],
    metadata: Parameters<EvaluateWithMetadata>[1],
    options: EvaluateOptions = {},
  ): AsyncGenerator<unknown, void, unknown> {
    this.#begin();
    try {
      const rest = await this.#prepare(tokens, options);
      const last = Math.max(0, this.sequence.nextTokenIndex + rest.length - 1);
      yield* this.#answer(this.#plain.evaluateWithMetadata(rest, metadata, options), last);
    } finally {
      this.#end();
    }
  }

  /** Passes the engine's tokens on, and what the caller answers to each back to the engine. */
  async *#answer(
    iterator: ReturnType<EvaluateWithMetadata>,
    firstDecoded: number,
  ): AsyncGenerator<unknown, void, unknown> {
    try {
      let input: Token | Token[] | undefined;
      for (;;) {
        const step = await iterator.next(input);
        this.#history.decode(firstDecoded);
        if (step.done === true) return;
        input = (yield step.value) as Token | Token[] | undefined;
      }
    } finally {
      await iterator.return();
    }
  }

  async #controlled(
    input: Parameters<LlamaContextSequence['controlledEvaluate']>[0],
    options: Parameters<LlamaContextSequence['controlledEvaluate']>[1],
  ): ReturnType<LlamaContextSequence['controlledEvaluate']> {
    this.#begin();
    try {
      const start = this.sequence.nextTokenIndex;
      const result = await this.#plain.controlledEvaluate(input, options);
      // Cut by its caller, not by the rule: its cells may differ from those of a plain prefill.
      this.#history.decode(start);
      return result;
    } finally {
      this.#end();
    }
  }

  /** Restores and prefills all but the last token; resolves to the tokens left to evaluate. */
  async #prepare(tokens: Token[], options: EvaluateOptions): Promise<Token[]> {
    const all = [...this.sequence.contextTokens, ...tokens];
    if (tokens.length === 0 || this.sequence.tokenPredictor !== undefined || !this.#isPlain(all)) {
      return tokens;
    }
    const last = all.length - 1;
    await this.#restore(all.slice(0, last));
    await this.#prefillTo(all, last, options);
    this.#noteTailEnd(last);
    return all.slice(this.sequence.nextTokenIndex);
  }

  /** Brings stored cells in, if more are stored than the sequence shares with the tokens. */
  async #restore(tokens: Token[]): Promise<void> {
    if (!this.#isPlain(tokens)) return;
    const { restore, save } = this.#parts;
    const { firstDifferentIndex: live } = this.sequence.compareContextTokens(tokens);
    this.#isRestoring = true;
    try {
      const restored = await restore.tryRestore({ sequence: this.sequence, tokens, live });
      if (restored === undefined) {
        this.#history.cutTo(this.sequence.nextTokenIndex);
        return;
      }
      this.#history.replace(restored.decodedFrom);
      save.noteStored(restored.keys);
    } finally {
      this.#isRestoring = false;
    }
  }

  async #prefillTo(all: Token[], end: number, options?: EvaluateOptions): Promise<void> {
    const { blockTokens, clock, payback, statistics } = this.#parts;
    for (const boundary of [end - (end % blockTokens), end]) {
      const start = this.sequence.nextTokenIndex;
      if (start >= boundary) continue;
      const startMs = clock.nowMs();
      await this.#plain.prefill(all.slice(start, boundary), prefillOptions(options));
      payback.notePrefill(boundary - start, clock.nowMs() - startMs);
      statistics.prefilledTokens += boundary - start;
    }
  }

  /** Only tokens of text that fit the context are stored and restored. */
  #isPlain(tokens: readonly unknown[]): boolean {
    if (tokens.length >= this.sequence.contextSize) return false;
    return tokens.every((token) => typeof token === 'number');
  }

  #noteTailEnd(end: number): void {
    if (this.#tailEnds.includes(end)) return;
    this.#tailEnds.push(end);
    if (this.#tailEnds.length > tailEndsMax) this.#tailEnds.shift();
  }

  async #busy(task: () => Promise<void>): Promise<void> {
    this.#begin();
    try {
      await task();
    } finally {
      this.#end();
    }
  }

  #begin(): void {
    this.#active += 1;
    this.#scheduled?.cancel();
    this.#scheduled = undefined;
  }

  /** After the last call under way the sequence rests; if it goes on resting it is saved. */
  #end(): void {
    this.#active -= 1;
    if (this.#active > 0) return;
    this.#scheduled = this.#parts.clock.schedule(this.#parts.saveDelayMs, () => {
      this.#scheduled = undefined;
      this.#saving = this.#saving.then(() => this.#saveNow());
    });
  }

  async #saveNow(): Promise<void> {
    const { sequence } = this;
    if (sequence.disposed || this.#active > 0) return;
    await this.#parts.save.save({
      sequence,
      history: this.#history,
      tailEnds: this.#tailEnds.filter((end) => end <= sequence.contextTokens.length),
    });
  }
}

/** Options of an evaluation that concern a prefill too. */
function prefillOptions(options: EvaluateOptions | undefined): EvaluateOptions {
  const { evaluationPriority, contextShift } = options ?? {};
  return {
    ...(evaluationPriority === undefined ? {} : { evaluationPriority }),
    ...(contextShift === undefined ? {} : { contextShift }),
  };
}

/** Fails closed: without the one method that sees every erasure nothing can be stored safely. */
function internalsOf(sequence: LlamaContextSequence): SequenceInternals {
  if (hasInternals(sequence)) return sequence;
  throw new StoreError('INCOMPATIBLE', 'this version of node-llama-cpp hides how cells are erased');
}

function hasInternals(sequence: object): sequence is LlamaContextSequence & SequenceInternals {
  return (
    '_eraseContextTokenRanges' in sequence &&
    typeof sequence._eraseContextTokenRanges === 'function'
  );
}
