import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import type { Clock, ScheduledCall } from '../../platform/clock.ts';
import type { ContextActivity } from './context-activity.ts';
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
import type { StoredKeys } from './stored-keys.ts';

export interface CachedSequenceParts {
  readonly clock: Clock;
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

/**
 * Flash attention computes so many tokens or more with another program than fewer. Batches of blocks
 * hold multiples of it, so that the same program computes them whatever the size of a batch.
 */
const tileTokens = 64;

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
 * Prefill is cut where the exactness rule wants it, with and without a restore: at the last block
 * boundary below the last token, and before the last token. So the same tokens are computed in the
 * same batches in every process.
 */
export class CachedSequence {
  readonly sequence: LlamaContextSequence;
  readonly #parts: CachedSequenceParts;
  readonly #plain: PlainMethods;
  readonly #history: SequenceHistory;
  #scheduled: ScheduledCall | undefined;
  #saving: Promise<void> = Promise.resolve();
  /** Calls of the engine that compute now; a save waits until there is none. */
  #active = 0;
  /** Tokens for which the store was asked when the sequence was adapted to them. */
  #adaptedTo: readonly Token[] | undefined;

  /** @throws StoreError `INCOMPATIBLE` when the sequence is not of the kind that is known. */
  constructor(sequence: LlamaContextSequence, parts: CachedSequenceParts) {
    this.sequence = sequence;
    this.#parts = parts;
    this.#history = new SequenceHistory(parts.blockTokens);
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
      await this.#restore(tokens);
      await this.#plain.adapt(tokens, allowShift);
      this.#adaptedTo = tokens.slice();
    });
  }

  async #loadForeign(path: string, risk: { acceptRisk: true }): Promise<void> {
    this.#history.taint(0);
    await this.#plain.loadState(path, risk);
  }

  /** Prefill without an answer: blocks first, then the rest, as before an answer. */
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
      yield* this.#answer(this.#plain.evaluateWithMetadata(rest, metadata, options));
    } finally {
      this.#end();
    }
  }

  /** Passes the engine's tokens on, and what the caller answers to each back to the engine. */
  async *#answer(
    iterator: ReturnType<EvaluateWithMetadata>,
  ): AsyncGenerator<unknown, void, unknown> {
    const firstDecoded = this.sequence.nextTokenIndex;
    try {
      let input: Token | Token[] | undefined;
      for (;;) {
        this.#history.decode(firstDecoded);
        const step = await iterator.next(input);
        if (step.done === true) return;
        // The caller may never come back for the next token; that must not keep a save waiting.
        this.#pause();
        try {
          input = (yield step.value) as Token | Token[] | undefined;
        } finally {
          this.#begin();
        }
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
      // Cut by its caller, not by the rule: its cells may differ from those of a plain prefill.
      this.#history.decode(this.sequence.nextTokenIndex);
      return await this.#plain.controlledEvaluate(input, options);
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
    await this.#restoreOnce(all.slice(0, last));
    await this.#prefillTo(all, last, options);
    return all.slice(this.sequence.nextTokenIndex);
  }

  /** Restores, unless the sequence was just adapted to the same tokens: that asked the store. */
  async #restoreOnce(tokens: Token[]): Promise<void> {
    const asked = this.#adaptedTo;
    this.#adaptedTo = undefined;
    const isSame = asked?.length === tokens.length && asked.every((t, i) => t === tokens[i]);
    if (!isSame) await this.#restore(tokens);
  }

  /** Brings stored cells in, if more are stored than the sequence shares with the tokens. */
  async #restore(tokens: Token[]): Promise<void> {
    if (!this.#isPlain(tokens)) return;
    const { sequence } = this;
    const { restore, stored } = this.#parts;
    const { firstDifferentIndex: live } = sequence.compareContextTokens(tokens);
    const { loadState } = this.#plain;
    const restored = await restore.tryRestore({ sequence, loadState, tokens, live });
    if (restored !== undefined) {
      this.#history.replace(restored.decodedFrom);
      stored.add(restored.keys);
    } else if (sequence.nextTokenIndex === 0) {
      this.#history.cutTo(0);
    }
  }

  /** Prefills up to `end`, where a prompt ends, in batches that begin where any process's do. */
  async #prefillTo(all: Token[], end: number, options?: EvaluateOptions): Promise<void> {
    const { activity, blockTokens, clock, payback, statistics } = this.#parts;
    const { batchSize } = this.sequence.context;
    const stepTokens = Math.max(tileTokens, batchSize - (batchSize % tileTokens));
    const blocksEnd = end - (end % blockTokens);
    for (;;) {
      const start = this.sequence.nextTokenIndex;
      if (start >= end) break;
      const nextStep = start - (start % stepTokens) + stepTokens;
      const boundary = start < blocksEnd ? Math.min(nextStep, blocksEnd) : end;
      this.#history.prefill(start);
      const startMs = clock.nowMs();
      const wasAlone = await activity.isAloneDuring(() =>
        this.#plain.prefill(all.slice(start, boundary), prefillOptions(options)),
      );
      if (!wasAlone) this.#history.decode(start);
      payback.notePrefill(boundary - start, clock.nowMs() - startMs);
      statistics.prefilledTokens += boundary - start;
    }
    this.#history.endPrompt(end);
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
    this.#scheduled = this.#parts.clock.schedule(this.#parts.saveDelayMs, () => {
      this.#scheduled = undefined;
      this.#saving = this.#saving.then(() => this.#saveNow());
    });
  }

  async #saveNow(): Promise<void> {
    const { sequence } = this;
    if (sequence.disposed || this.#active > 0) return;
    await this.#parts.save.save({ sequence, history: this.#history });
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
