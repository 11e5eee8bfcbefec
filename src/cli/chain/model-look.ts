import type { LlamaContextOptions } from 'node-llama-cpp';
import { messageOf, StoreError } from '../../base/errors.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import { fingerprintText, llamaSeedInput } from '../../blocks/fingerprint.ts';
import { openLlama } from '../../engines/llama/llama-engine.ts';
import type { LlamaEngine } from '../../engines/llama/llama-engine.ts';
import { Payback } from '../../engines/llama/payback.ts';
import { payloadByteLength } from '../../engines/llama/state-layout.ts';
import { openStore } from '../../open-store.ts';

/** What a model makes of a prompt. */
export interface ModelLook {
  readonly name: string;
  readonly tokens: readonly number[];
  readonly fingerprint: string;
  /** What the fingerprint is made of: lines of a name and a value. */
  readonly ingredients: readonly string[];
  readonly seedInput: string;
  readonly seed: BlockKey;
  /** What the adapter expects of a restore, before it has measured one. */
  readonly worthOf: (tokens: number) => Worth;
}

/** Whether to restore the first tokens of a prompt, as the adapter decides it. */
export interface Worth {
  readonly isWorthIt: boolean;
  /** What computing them is expected to take, from one decode step that was measured. */
  readonly prefillMs: number;
  /** What their payloads have in all. */
  readonly bytes: number;
}

export interface ModelQuestion {
  readonly modelPath: string;
  /** As given to `openLlama`. */
  readonly contextOptions: Readonly<Record<string, unknown>>;
  readonly blockTokens: number;
  readonly text: string;
  /** Special tokens in the text are read as such. */
  readonly hasSpecialTokens: boolean;
}

/** Enough to look at the state of a token: the size of a context is in no fingerprint. */
const contextSize = 256;

/**
 * Loads the model, makes the tokens of the text, and finds the identity as an engine with these
 * options does.
 *
 * @throws StoreError `UNAVAILABLE` without an engine, `INVALID` for a model that it cannot load,
 * `INCOMPATIBLE` for one that nothing is stored of.
 */
export async function lookAtModel(question: ModelQuestion): Promise<ModelLook> {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp').catch(
    // The engine is an optional peer dependency.
    (cause: unknown) => {
      const message = '--model needs an engine: npm install node-llama-cpp';
      throw new StoreError('UNAVAILABLE', `${message} (${messageOf(cause)})`, { cause });
    },
  );
  const llama = await getLlama({
    ...{ gpu: 'auto', build: 'never', skipDownload: true },
    logLevel: LlamaLogLevel.error,
  });
  // Nothing is saved; the engine wants a store all the same.
  const store = await openStore({ objectStore: 'memory:', cacheDirectory: false });
  try {
    const { modelPath, blockTokens } = question;
    const context: LlamaContextOptions = { contextSize, ...question.contextOptions };
    const opening = openLlama({ store, llama, modelPath, blockTokens, context });
    const engine = await opening.catch((cause: unknown) => {
      throw new StoreError('INVALID', `--model: ${modelPath}: ${messageOf(cause)}`, { cause });
    });
    try {
      return lookOf(engine, question);
    } finally {
      await engine.dispose();
    }
  } finally {
    await store.close();
    await llama.dispose();
  }
}

function lookOf(engine: LlamaEngine, question: ModelQuestion): ModelLook {
  const { identity, model, uncachedReason } = engine;
  if (identity === undefined) {
    throw new StoreError('INCOMPATIBLE', `of this model nothing is stored: ${uncachedReason}`);
  }
  const { fingerprint, seed, ingredients, geometry, decodeMs } = identity;
  const [, ...lines] = fingerprintText(ingredients).trimEnd().split('\n');
  return {
    name: model.fileInfo.metadata.general.name ?? 'a model without a name',
    tokens: model.tokenize(question.text, question.hasSpecialTokens),
    ...{ fingerprint, seed },
    ingredients: lines,
    seedInput: llamaSeedInput(fingerprint, question.blockTokens),
    worthOf: (tokens) => {
      const payback = new Payback(decodeMs, model.llama.gpu !== false);
      const bytes = payloadByteLength(geometry, tokens);
      const isAsked = payback.planLookup(tokens).pays;
      const isWorthIt = isAsked && payback.planRestore(tokens, bytes).pays;
      return { isWorthIt, prefillMs: payback.prefillMs(tokens), bytes };
    },
  };
}
