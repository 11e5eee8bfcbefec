import type { ChatHistoryItem, LlamaContextOptions } from 'node-llama-cpp';
import type { StoreStats } from '../../src/blocks/kv-store.ts';
import type { LlamaStatistics, RestorePolicy } from '../../src/llama.ts';

/** What one engine process is to do: `engine-child.ts` reads it as JSON and answers a result. */
export interface EngineJob {
  readonly modelPath: string;
  readonly context: EngineContext;
  /** Where the store is; in the process's memory when absent. */
  readonly store?: StorePlace | undefined;
  readonly restore?: RestorePolicy | undefined;
  readonly exact?: boolean | undefined;
  /** What the test's own code does to payloads on their way from the store to the engine. */
  readonly fault?: 'alter-payloads' | undefined;
  /** Done one after another. */
  readonly runs: readonly EngineRun[];
  /** `save`: everything new is saved at the end. `leave`: nothing is. `die`: SIGKILL after saving. */
  readonly ending: 'save' | 'leave' | 'die';
}

/** Options of the context, those that survive JSON. */
export type EngineContext = Pick<
  LlamaContextOptions,
  | 'contextSize'
  | 'sequences'
  | 'flashAttention'
  | 'experimentalKvCacheKeyType'
  | 'experimentalKvCacheValueType'
>;

/** Where a store is: its objects outlive its cache. */
export interface StorePlace {
  /** A directory. */
  readonly objects: string;
  /** URL of a bucket that takes the place of that directory. */
  readonly bucket?: string | undefined;
  readonly cache: string;
}

/** A prompt for a sequence, and what is wanted of it. */
export type EngineRun = PromptRun | ChatRun;

export interface PromptRun {
  readonly kind: 'prompt';
  /** Which sequence of the context. */
  readonly sequence?: number | undefined;
  readonly prompt: readonly number[];
  /** Keeps what the sequence shares with the prompt, as a chat does; else it is cleared first. */
  readonly continues?: boolean | undefined;
  /** Tokens to generate, greedily; with 0 the prompt is prefilled only. */
  readonly count: number;
}

/** One turn of a chat session that lives as long as the process. Its answer has small letters only. */
export interface ChatRun {
  readonly kind: 'chat';
  /** The session's history before the turn, as another process told it. */
  readonly history?: readonly ChatHistoryItem[] | undefined;
  readonly text: string;
  readonly count: number;
}

/** What an engine process tells. */
export interface EngineResult {
  readonly fingerprint: string | undefined;
  readonly uncachedReason: string | undefined;
  readonly runs: readonly RunResult[];
  readonly statistics: LlamaStatistics;
  readonly stats: StoreStats;
}

export interface RunResult {
  /** Tokens generated. */
  readonly tokens: readonly number[];
  /** For each of them the probabilities of all tokens: 32-bit floats in base64. */
  readonly probabilities: string;
  /** Tokens that the sequence held at the end. */
  readonly held: readonly number[];
  /** The chat session's history after the turn. */
  readonly history?: readonly ChatHistoryItem[] | undefined;
}
