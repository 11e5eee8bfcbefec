import type { StoreStats } from '../../src/blocks/kv-store.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import type { LlamaStatistics } from '../../src/engines/llama/llama-statistics.ts';
import type { RestorePolicy } from '../../src/engines/llama/llama-restore.ts';
import type { Span } from './spans.ts';

/** What a process with an engine is asked to do. Goes between processes as JSON. */
export type EngineJob = AnswerJob | SuffixJob | LossJob | ExportJob;

/** How the engine is set up; the same for all that is compared. */
export interface EngineSetup {
  readonly modelPath: string;
  readonly hashMemoryPath: string;
  readonly contextSize: number;
  readonly sequences: number;
  /** 0: all cores. */
  readonly threads: number;
  readonly kvType: KvType;
}

export type KvType = 'F16' | 'BF16' | 'Q8_0' | 'F32';

/** The store that a process opens, and when its engine restores. */
export interface StoreSetup {
  readonly config: StoreConfig;
  readonly restore: RestorePolicy;
}

/** Answer a prompt in a loaded, warmed process. */
export interface AnswerJob {
  readonly kind: 'answer';
  readonly engine: EngineSetup;
  /**
   * The store; or the engine alone: with the prompt in one call, as a program without WombatKV
   * does, or with its last token by itself as with WombatKV, whose tokens are those to compare with.
   */
  readonly use: StoreSetup | 'alone' | 'alone, same cuts';
  readonly prompt: readonly number[];
  readonly answerTokens: number;
  /** What follows the answer; `measure-save` takes it apart. Only with a store. */
  readonly ending: 'drop' | 'save' | 'measure-save';
}

/** Answer a prompt whose first tokens are stored, and prefill only the others without a store. */
export interface SuffixJob {
  readonly kind: 'suffix';
  readonly engine: EngineSetup;
  readonly store: StoreSetup;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

export type LossCase =
  | { readonly kind: 'same prompt'; readonly prompt: readonly number[] }
  | { readonly kind: 'next turn'; readonly prompt: readonly number[]; readonly turnTokens: number }
  | { readonly kind: 'new prompt'; readonly promptTokens: number }
  | {
      readonly kind: 'users';
      readonly users: number;
      readonly promptTokens: number;
      readonly turnTokens: number;
      readonly answerTokens: number;
    };

/** Do the same with and without the store, in turns, in one process. */
export interface LossJob {
  readonly kind: 'loss';
  readonly engine: EngineSetup;
  readonly store: StoreSetup;
  readonly cases: readonly LossCase[];
  readonly vocabularySize: number;
  readonly rounds: number;
}

/** Evaluate a prompt and write the payloads of its blocks, one after another, into a file. */
export interface ExportJob {
  readonly kind: 'export';
  readonly engine: EngineSetup;
  readonly prompt: readonly number[];
  readonly path: string;
}

/** What each job brings. */
export interface EngineResults {
  readonly answer: AnswerResult;
  readonly suffix: SuffixResult;
  readonly loss: readonly LossResult[];
  readonly export: ExportResult;
}

export interface AnswerResult {
  /** From the tokens handed over to the first token. */
  readonly firstTokenMs: number;
  /** CPU time of the process in that time. */
  readonly firstTokenCpuMs: number;
  /** Of each later token of the answer, since the one before. */
  readonly decodeMs: readonly number[];
  readonly tokens: readonly number[];
  readonly restoredTokens: number;
  /** Up to the first token, its start being 0. */
  readonly spans: readonly Span[];
  readonly use: StoreUse | undefined;
  readonly save: SaveMeasured | undefined;
  readonly versions: Readonly<Record<string, string>>;
}

/** What the store did up to the first token. */
export interface StoreUse {
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly objectBytes: number;
  readonly requests: StoreStats['object']['requests'];
  readonly readBytes: number;
}

export interface SaveMeasured {
  /** Exports of the same state by the engine alone, right after. */
  readonly exportAloneMs: readonly number[];
  /** From the start of the save until the engine could have the sequence again. */
  readonly sequenceFreeMs: number;
  /** From the start of the save until the store has accepted everything. */
  readonly acceptedMs: number;
  /** Longest time in which the thread did nothing else, during the save. */
  readonly longestBlockMs: number;
  /** The second save: time, and how often it exported. */
  readonly againMs: readonly number[];
  readonly againExports: number;
  /** Calls of the store that saved before the answer had ended. */
  readonly savesDuringAnswer: number;
  readonly statistics: LlamaStatistics;
}

/** Milliseconds to the first token. */
export interface SuffixResult {
  readonly restoredMs: number;
  readonly restoredTokens: number;
  readonly aloneMs: number;
  readonly aloneSameCutsMs: number;
}

export interface LossResult {
  readonly case: LossCase;
  readonly withMs: readonly number[];
  readonly withoutMs: readonly number[];
}

export interface ExportResult {
  readonly blocks: number;
  readonly blockBytes: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** What a process tells its parent: its result once, or why there is none. */
export type EngineMessage =
  | { readonly kind: 'done'; readonly result: EngineResults[EngineJob['kind']] }
  | { readonly kind: 'failed'; readonly message: string };
