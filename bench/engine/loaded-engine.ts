import { setTimeout as sleep } from 'node:timers/promises';
import { getLlama, getModuleVersion, LlamaLogLevel } from 'node-llama-cpp';
import type {
  Llama,
  LlamaContext,
  LlamaContextOptions,
  LlamaContextSequence,
  LlamaModel,
  Token,
} from 'node-llama-cpp';
import { openLlama } from '../../src/engines/llama/llama-engine.ts';
import type { LlamaEngine } from '../../src/engines/llama/llama-engine.ts';
import { openStore } from '../../src/open-store.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { EngineSetup, StoreSetup } from './engine-job.ts';
import { logSequence, withSpans } from './spans.ts';
import type { SpanLog } from './spans.ts';

const batchSize = 512;
/** Rest of a loaded process before it is asked: what the store prepares is done by then. */
const restMs = 300;
/** So long after an answer that no save begins by itself: the benchmark says when to save. */
const neverMs = 3_600_000;

/** An engine with a store. */
export interface StoredEngine {
  readonly store: KvStore;
  readonly engine: LlamaEngine;
}

export interface StoredEngineOptions {
  /** Where calls of store and engine are noted. */
  readonly log?: SpanLog;
  /** True: it saves after each answer, as it does for its users. */
  readonly savesByItself?: boolean;
}

/** Loads the engine with the store, and warms it up. */
export async function loadStored(
  setup: EngineSetup,
  { config, restore }: StoreSetup,
  { log, savesByItself = false }: StoredEngineOptions = {},
): Promise<StoredEngine> {
  const store = await openStore(config);
  const llama = await newLlama();
  const engine = await openLlama({
    store: log === undefined ? store : withSpans(store, log),
    llama,
    modelPath: setup.modelPath,
    hashMemoryPath: setup.hashMemoryPath,
    context: contextOptions(setup),
    restore,
    saveDelayMs: savesByItself ? undefined : neverMs,
  });
  if (engine.uncachedReason !== undefined) throw new Error(engine.uncachedReason);
  if (log !== undefined) logSequences(engine.context, log);
  await warmUp(engine.context);
  return { store, engine };
}

/** Loads the engine by itself, and warms it up. */
export async function loadAlone(setup: EngineSetup): Promise<LlamaContext> {
  const llama = await newLlama();
  const model = await llama.loadModel({ modelPath: setup.modelPath });
  const context = await model.createContext(contextOptions(setup));
  await warmUp(context);
  return context;
}

/** Another context of a loaded model, with nothing of WombatKV in it. */
export async function contextAlone(model: LlamaModel, setup: EngineSetup): Promise<LlamaContext> {
  const context = await model.createContext(contextOptions(setup));
  await warmUp(context);
  return context;
}

/** Tokens of the bench are plain numbers; the engine's type tells them from others. */
export function asTokens(tokens: readonly number[]): Token[] {
  return [...tokens] as Token[];
}

/** The first tokens of a greedy answer. */
export async function generate(
  sequence: LlamaContextSequence,
  tokens: readonly number[],
  count: number,
  onToken: () => void = () => undefined,
): Promise<number[]> {
  const answer: number[] = [];
  const options = { temperature: 0, yieldEogToken: true };
  for await (const token of sequence.evaluate(asTokens(tokens), options)) {
    onToken();
    answer.push(token);
    if (answer.length >= count) break;
  }
  return answer;
}

/**
 * Prefills all but the last token, which is left for the answer, as the adapter does with a prompt
 * that is not short.
 */
export async function prefillButLast(
  sequence: LlamaContextSequence,
  tokens: readonly number[],
): Promise<void> {
  const rest = tokens.slice(sequence.nextTokenIndex, -1);
  if (rest.length > 0) await sequence.evaluateWithoutGeneratingNewTokens(asTokens(rest));
}

/** Versions of what computes. */
export async function versionsOf({ llama }: LlamaModel): Promise<Record<string, string>> {
  const { release } = llama.llamaCppRelease;
  return { 'node-llama-cpp': await getModuleVersion(), 'llama.cpp': release };
}

function newLlama(): Promise<Llama> {
  return getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
  });
}

function contextOptions({
  contextSize,
  sequences,
  threads,
  kvType,
}: EngineSetup): LlamaContextOptions {
  return {
    ...{ contextSize, sequences, batchSize, threads, flashAttention: 'auto' },
    experimentalKvCacheKeyType: kvType,
    experimentalKvCacheValueType: kvType,
  };
}

/** One decode in a sequence that is given back, then a rest. */
async function warmUp(context: LlamaContext): Promise<void> {
  const sequence = context.getSequence();
  await generate(sequence, [1], 1);
  await sequence.clearHistory();
  await sequence.dispose();
  await sleep(restMs);
}

function logSequences(context: LlamaContext, log: SpanLog): void {
  const getSequence = context.getSequence.bind(context);
  context.getSequence = (options) => {
    const sequence = getSequence(options);
    logSequence(sequence, log);
    return sequence;
  };
}
