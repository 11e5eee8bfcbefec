import type { StoreErrorCode } from '../../base/errors.ts';
import type { StoreStats } from '../../blocks/kv-store.ts';
import type { StoreConfig } from '../../config/store-config.ts';

/**
 * What a process of the demo is asked to do, and what it tells. Both go between the processes as
 * JSON. The parent is of the same build, so what arrives is not checked again.
 */
export type DemoJob = AnswerJob | FlushJob;

/** Answer a prompt by the engine. */
export interface AnswerJob {
  readonly kind: 'answer';
  readonly store: StoreConfig;
  /** The daemon that has the store; undefined: the process opens it itself. */
  readonly daemonUrl?: string | undefined;
  readonly engine: DemoEngine;
  readonly prompt: DemoPrompt;
  /** Tokens that the answer has at most. */
  readonly answerTokens: number;
  readonly restore: 'always' | 'never';
  /**
   * What follows the answer. `wait-for-death`: save what is new, say so, and wait to be killed.
   * `close`: save, upload and close in good order. `drop`: end without saving.
   */
  readonly ending: 'wait-for-death' | 'close' | 'drop';
}

/** Open the store, bring to the object store what is pending, and close. */
export interface FlushJob {
  readonly kind: 'flush';
  readonly store: StoreConfig;
  readonly daemonUrl?: string | undefined;
}

export interface DemoEngine {
  readonly modelPath: string;
  readonly hashMemoryPath: string;
  readonly contextSize: number;
  readonly batchSize: number;
  readonly threads: number;
  /** True: a GPU is used where there is one. */
  readonly mayUseGpu: boolean;
}

/**
 * A prompt: given tokens, then as much of the document as fits, then the ending. Only the engine
 * knows how text becomes tokens, so that is done there.
 */
export interface DemoPrompt {
  readonly tokens: readonly number[];
  readonly document: string;
  readonly ending: string;
  /** Tokens in all, at most; the document is cut. */
  readonly tokensMax: number;
  /** A prompt of fewer tokens, or a document that is longer than that, is refused. */
  readonly accepted?: { readonly least: number; readonly most: number };
}

/** What a process of the demo tells its parent. */
export type DemoMessage =
  | { readonly kind: 'activity'; readonly activity: string }
  | { readonly kind: 'token'; readonly count: number }
  | { readonly kind: 'answered'; readonly answer: DemoAnswer }
  | { readonly kind: 'flushed'; readonly flush: DemoFlush }
  | { readonly kind: 'failed'; readonly code: StoreErrorCode; readonly message: string };

export interface DemoAnswer {
  /** Milliseconds from the tokens handed to the loaded, warmed engine to the first token. */
  readonly firstTokenMs: number;
  readonly promptTokens: readonly number[];
  /** Tokens of the prompt before its ending: what another ending may share. */
  readonly documentTokens: number;
  readonly answerTokens: readonly number[];
  readonly answerText: string;
  readonly restoredTokens: number;
  /** What the store did up to the first token. */
  readonly toFirstToken: StoreUse;
  /** What the answer left behind in the store, and how long that took; nothing for `drop`. */
  readonly saved: { readonly payloads: number; readonly bytes: number; readonly ms: number };
  /** Lookups, loads and saves that failed, and the text of the last failure. */
  readonly failures: number;
  readonly lastFailure: string | undefined;
  /** What computed: `cpu`, or the kind of GPU. */
  readonly device: string;
  readonly modelName: string;
}

/** Part of the store's counters. */
export interface StoreUse {
  readonly memory: PayloadCount;
  readonly disk: PayloadCount;
  readonly object: PayloadCount;
  readonly requests: StoreStats['object']['requests'];
  /** Bytes of object bodies that were read. */
  readonly readBytes: number;
}

export interface PayloadCount {
  readonly payloads: number;
  readonly bytes: number;
}

export interface DemoFlush {
  /** Payloads that were accepted and not yet in the object store when the process began. */
  readonly pending: number;
  readonly ms: number;
}
