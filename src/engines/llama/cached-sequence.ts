import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { Prefix } from '../../blocks/prefix.ts';
import type { Clock, ScheduledCall } from '../../platform/clock.ts';
import { BatchRule, cutPromptTokensMin } from './batch-rule.ts';
import type { ContextActivity } from './context-activity.ts';
import type { LlamaIdentity } from './llama-identity.ts';
import type { LlamaRestore } from './llama-restore.ts';
import type { LlamaSave } from './llama-save.ts';
import type { LlamaStatistics } from './llama-statistics.ts';
import type { Payback } from './payback.ts';
import { SequenceHistory } from './sequence-history.ts';
import { internalsOf } from './sequence-internals.ts';
import type {
  EraseRanges,
  InternalEvaluateOptions,
  SequenceInternals,
} from './sequence-internals.ts';
import { SequencePrefix } from './sequence-prefix.ts';
import type { StoredKeys } from './stored-keys.ts';

export interface CachedSequenceParts {
  readonly clock: Clock;
  readonly identity: LlamaIdentity;
  readonly restore: LlamaRestore;
  readonly save: LlamaSave;
  readonly payback: Payback;
  readonly statistics: LlamaStatistics;
  readonly stored: StoredKeys;
  readonly activity: ContextActivity;
  readonly blockTokens: number;
  /** Rest of a sequence after an answer before it is saved, in milliseconds. */
  readonly saveDelayMs: number;
}

/** How often a save looks whether other sequences still compute. */
const quietCheckMs = 100;
/**
 * How long a save waits for that at most. An export takes some 15 ms of a sequence of 1,700 tokens:
 * five of them in this time are less than half a per cent of it.
 */
const savePostponedMostMs = 20_000;

type EvaluateWithMetadata = LlamaContextSequence['evaluateWithMetadata'];
type EvaluateOptions = NonNullable<Parameters<LlamaContextSequence['evaluate']>[1]>;

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
 * Prefill is cut where the exactness rule ({@link BatchRule}) wants it, with and without a restore:
 * so that no batch is too small to be regular, and before the last token of a prompt that is not
 * short. So a token is computed in the same way in every process.
 */
export class CachedSequence {
  readonly sequence: LlamaContextSequence;
  readonly #parts: CachedSequenceParts;
  readonly #plain: PlainMethods;
  readonly #rule: BatchRule;
  readonly #history: SequenceHistory;
  readonly #prefix: SequencePrefix;
  #scheduled: ScheduledCall | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** Calls of the engine that compute now; a save waits until there is none. */
  #active = 0;
  /** Tokens for which the store was asked when the sequence was adapted to them, and its answer. */
  #adapted: { readonly tokens: readonly Token[]; readonly isRestored: boolean } | undefined;

  /** @throws StoreError `INCOMPATIBLE` when the sequence is not of the kind that is known. */
  constructor(sequence: LlamaContextSequence, parts: CachedSequenceParts) {
    this.sequence = sequence;
    this.#parts = parts;
    const { identity, blockTokens } = parts;
    this.#rule = new BatchRule(identity.regularBatchMin, sequence.context.batchSize);
    this.#history = new SequenceHistory(this.#rule);
    this.#prefix = new SequencePrefix(identity.seed, blockTokens);
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
  async #erase(ranges: Parameters<EraseRanges>[0], options?: unknown): Promise<void> {
    const before = this.sequence.nextTokenIndex;
    for (const range of ranges) {
      // The engine takes a range either way round.
      const [start, end] = [range.start, range.end].sort((a, b) => a - b);
      if (start < end && end < before) this.#history.taint(start);
    }
    await this.#plain.erase(ranges, options);
    const after = this.sequence.nextTokenIndex;
    if (after < before) this.#history.cutTo(after);
  }

  async #adapt(tokens: Token[], allowShift?: boolean): Promise<void> {
    await this.#busy(async () => {
      const isRestored = await this.#restore(tokens);
      await this.#plain.adapt(tokens, allowShift);
      this.#adapted = { tokens: tokens.slice(), isRestored };
    });
  }

  async #loadForeign(path: string, risk: { acceptRisk: true }): Promise<void> {
    this.#history.taint(0);
    await this.#plain.loadState(path, risk);
  }

  /** Prefill without an answer. */
  async #prefill(
    tokens: Token[],
    options?: EvaluateOptions & InternalEvaluateOptions,
  ): Promise<void> {
    // The engine computes again what an erasure lost, under its own locks: to restore would wait for
    // them for ever. Where that happens the history is tainted.
    if (options?._skipLock === true) return this.#plain.prefill(tokens, options);
    return this.#busy(async () => {
      const all = [...this.sequence.contextTokens, ...tokens];
      if (!this.#isPlain(all)) {
        this.#history.decode(this.sequence.nextTokenIndex);
        return this.#plain.prefill(tokens, options);
      }
      await this.#restoreOnce(all);
      await this.#prefillTo(all, all.length, options);
      this.#history.endPrompt(all.length);
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
      yield* this.#answer(rest, this.#plain.evaluateWithMetadata(rest, metadata, options));
    } finally {
      this.#end();
    }
  }

  /** Passes the engine's tokens on, and what the caller answers to each back to the engine. */
  async *#answer(
    tokens: Token[],
    iterator: ReturnType<EvaluateWithMetadata>,
  ): AsyncGenerator<unknown, void, unknown> {
    try {
      let step = await this.#evaluateFirst(tokens, iterator);
      while (step.done !== true) {
        let input: Token | Token[] | undefined;
        // The caller may never come back for the next token; that must not keep a save waiting.
        this.#pause();
        try {
          input = (yield step.value) as Token | Token[] | undefined;
        } finally {
          this.#begin();
        }
        step = await iterator.next(input);
      }
    } finally {
      await iterator.return();
    }
  }

  /** The first token of an answer: the engine computes the rest of the prompt for it. */
  async #evaluateFirst(
    tokens: Token[],
    iterator: ReturnType<EvaluateWithMetadata>,
  ): ReturnType<typeof iterator.next> {
    const start = this.sequence.nextTokenIndex;
    // By itself a token is computed as one of the answer is.
    const prefilled = tokens.length === 1 ? 0 : tokens.length;
    this.#history.decode(start + prefilled);
    if (prefilled === 0) return iterator.next();
    return this.#asPrefill(start, prefilled, () => iterator.next());
  }

  async #controlled(
    input: Parameters<LlamaContextSequence['controlledEvaluate']>[0],
    options: Parameters<LlamaContextSequence['controlledEvaluate']>[1],
  ): ReturnType<LlamaContextSequence['controlledEvaluate']> {
    this.#begin();
    try {
      // Cut by its caller, not by the rule: its cells may differ from those of a plain prefill.
      this.#history.decode(this.sequence.nextTokenIndex);
      return await this.#plain.controlledEvaluate(input, options);
    } finally {
      this.#end();
    }
  }

  /** Restores, and prefills what the exactness rule cuts off; resolves to the tokens left. */
  async #prepare(tokens: Token[], options: EvaluateOptions): Promise<Token[]> {
    const all = [...this.sequence.contextTokens, ...tokens];
    if (tokens.length === 0 || this.sequence.tokenPredictor !== undefined || !this.#isPlain(all)) {
      this.#history.decode(this.sequence.nextTokenIndex);
      return tokens;
    }
    const last = all.length - 1;
    const isRestored = await this.#restoreOnce(all.slice(0, last));
    const start = this.sequence.nextTokenIndex;
    const first = this.#isCutBeforeLast(all.length, isRestored)
      ? last - start
      : this.#rule.firstCall(all.length - start);
    if (first < all.length - start) await this.#prefillTo(all, start + first, options);
    this.#history.endPrompt(last);
    return all.slice(this.sequence.nextTokenIndex);
  }

  /**
   * Behind cells that no fresh prefill computes a cut would make nothing exact. A sequence that goes
   * on from what it holds gets few tokens, of which one more step would be a large part.
   */
  #isCutBeforeLast(promptTokens: number, isRestored: boolean): boolean {
    if (this.#history.decodedFrom !== undefined || promptTokens < cutPromptTokensMin) return false;
    return isRestored || promptTokens - this.sequence.nextTokenIndex >= cutPromptTokensMin;
  }

  /** Restores, unless the sequence was just adapted to the same tokens: that asked the store. */
  async #restoreOnce(tokens: Token[]): Promise<boolean> {
    const adapted = this.#adapted;
    this.#adapted = undefined;
    const isSame =
      adapted?.tokens.length === tokens.length && adapted.tokens.every((t, i) => t === tokens[i]);
    return isSame ? adapted.isRestored : this.#restore(tokens);
  }

  /** Brings stored cells in, if more are stored than the sequence shares with the tokens. */
  async #restore(tokens: Token[]): Promise<boolean> {
    if (!this.#isPlain(tokens)) return false;
    const { sequence } = this;
    const { restore, stored } = this.#parts;
    const { firstDifferentIndex: live } = sequence.compareContextTokens(tokens);
    const { loadState } = this.#plain;
    const prefixOf = (): Prefix => this.#prefix.of(tokens);
    const request = { sequence, loadState, tokens, prefixOf, live, rule: this.#rule };
    const restored = await restore.tryRestore(request);
    if (restored === undefined) {
      if (sequence.nextTokenIndex === 0) this.#history.cutTo(0);
      return false;
    }
    this.#history.replace(restored.decodedFrom);
    stored.add(restored.keys);
    return true;
  }

  /** Prefills up to `end`. */
  async #prefillTo(all: Token[], end: number, options?: EvaluateOptions): Promise<void> {
    for (;;) {
      const start = this.sequence.nextTokenIndex;
      if (start >= end) return;
      const count = this.#rule.firstCall(end - start);
      const tokens = all.slice(start, start + count);
      await this.#asPrefill(start, count, () =>
        this.#plain.prefill(tokens, prefillOptions(options)),
      );
    }
  }

  /** Runs a call that prefills so many tokens, and takes note of what it does and takes. */
  async #asPrefill<T>(start: number, count: number, compute: () => Promise<T>): Promise<T> {
    const { activity, clock, payback, statistics } = this.#parts;
    this.#history.prefill(start, count);
    const startMs = clock.nowMs();
    const { result, wasAlone } = await activity.watch(compute);
    if (!wasAlone) this.#history.decode(start);
    payback.notePrefill(count, clock.nowMs() - startMs);
    statistics.prefilledTokens += count;
    return result;
  }

  /** Only tokens of text that fit the context are stored and restored. */
  #isPlain(tokens: readonly unknown[]): boolean {
    if (tokens.length >= this.sequence.contextSize) return false;
    return tokens.every((token) => typeof token === 'number');
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
    this.#parts.activity.begin();
    this.#scheduled?.cancel();
    this.#scheduled = undefined;
  }

  #pause(): void {
    this.#active -= 1;
    this.#parts.activity.end();
  }

  /** After the last call under way the sequence rests; if it goes on resting it is saved. */
  #end(): void {
    this.#pause();
    if (this.#active > 0) return;
    const { clock, saveDelayMs } = this.#parts;
    const latestMs = clock.nowMs() + saveDelayMs + savePostponedMostMs;
    this.#scheduled = clock.schedule(saveDelayMs, () => this.#saveWhenQuiet(latestMs));
  }

  /** An export holds up everything that the context computes: it waits until that is nothing. */
  #saveWhenQuiet(latestMs: number): void {
    const { activity, clock } = this.#parts;
    this.#scheduled = undefined;
    if (activity.isComputing && clock.nowMs() < latestMs) {
      this.#scheduled = clock.schedule(quietCheckMs, () => this.#saveWhenQuiet(latestMs));
      return;
    }
    this.#saving = this.#saving.then(() => this.#saveNow());
  }

  async #saveNow(): Promise<void> {
    const { sequence } = this;
    if (sequence.disposed || this.#active > 0) return;
    const prefixOf = (tokens: readonly number[]): Prefix => this.#prefix.of(tokens);
    await this.#parts.save.save({ sequence, history: this.#history, prefixOf });
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
