import type { LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp';
import { StoreError } from '../../base/errors.ts';
import type { LogFields, Logger } from '../../base/logger.ts';
import type { KvStore, StoreStats } from '../../blocks/kv-store.ts';
import { openLlama } from '../../engines/llama/llama-engine.ts';
import type { LlamaEngine } from '../../engines/llama/llama-engine.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import type { AnswerJob, DemoAnswer, DemoMessage, DemoPrompt, StoreUse } from './demo-job.ts';
import { openJobStore } from './demo-store.ts';

type Tell = (message: DemoMessage) => Promise<void>;

/** An answer as the engine gave it. */
interface Measured {
  readonly firstTokenMs: number;
  readonly tokens: readonly Token[];
  readonly toFirstToken: StoreUse;
}

/** Tokens of the answer between two messages about them. */
const tokensPerMessage = 4;

/** Answers the job's prompt and tells what that took. */
export async function answer(job: AnswerJob, tell: Tell): Promise<void> {
  const { clock } = nodePlatform();
  const failures = new LastFailure();
  const store = await openJobStore(job, failures);
  const atFirst = await store.stats();
  await tell({ kind: 'activity', activity: 'loading the model' });
  const engine = await openEngine(job, store, failures);
  if (engine.uncachedReason !== undefined) {
    const message = `this model cannot be cached: ${engine.uncachedReason}`;
    throw new StoreError('INCOMPATIBLE', message);
  }
  await warmUp(engine);
  const prompt = tokensOf(engine.model, job.prompt);
  await tell({ kind: 'activity', activity: 'waiting for the first token' });
  const measured = await measure(job, { engine, store, tell }, prompt.tokens);
  const startMs = clock.nowMs();
  if (job.ending !== 'drop') {
    await tell({ kind: 'activity', activity: 'saving' });
    await engine.settle();
  }
  const savedMs = clock.nowMs() - startMs;
  const atLast = await store.stats();
  const saved = atLast.saved - atFirst.saved;
  const savedBytes = atLast.savedBytes - atFirst.savedBytes;
  const statistics = engine.statistics;
  const result: DemoAnswer = {
    firstTokenMs: measured.firstTokenMs,
    promptTokens: prompt.tokens,
    documentTokens: prompt.documentTokens,
    answerTokens: measured.tokens,
    answerText: engine.model.detokenize([...measured.tokens]),
    restoredTokens: statistics.restoredTokens,
    toFirstToken: measured.toFirstToken,
    saved: { payloads: saved, bytes: savedBytes, ms: savedMs },
    failures: statistics.failures,
    lastFailure: failures.text,
    device: engine.model.llama.gpu === false ? 'cpu' : engine.model.llama.gpu,
    modelName: engine.model.fileInfo.metadata.general.name ?? 'a model without a name',
  };
  if (job.ending === 'close') {
    await engine.dispose();
    await store.flush();
    await store.close();
  }
  await tell({ kind: 'answered', answer: result });
  // The parent ends this process the hard way. Its channel keeps it alive until then.
  if (job.ending === 'wait-for-death') await new Promise<never>(() => undefined);
}

async function openEngine(job: AnswerJob, store: KvStore, logger: Logger): Promise<LlamaEngine> {
  const { modelPath, hashMemoryPath, mayUseGpu, ...context } = job.engine;
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
  const llama = await getLlama({
    gpu: mayUseGpu ? 'auto' : false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
    // As many threads as the job says, not as the engine thinks best.
    maxThreads: 0,
  });
  const { restore } = job;
  return openLlama({ store, llama, modelPath, hashMemoryPath, context, logger, restore });
}

/** One decode, in a sequence that the store does not know of. */
async function warmUp({ context, model }: LlamaEngine): Promise<void> {
  const sequence = context.getSequence();
  const token = model.tokens.bos ?? model.tokenize('a')[0];
  for await (const _ of sequence.evaluate([token], { temperature: 0 })) break;
  await sequence.clearHistory();
  await sequence.dispose();
}

/** @throws StoreError `INVALID` when the prompt is shorter or longer than accepted. */
function tokensOf(
  model: LlamaModel,
  { tokens, document, ending, tokensMax, accepted }: DemoPrompt,
): { readonly tokens: Token[]; readonly documentTokens: number } {
  const endingTokens = model.tokenize(ending);
  const given = tokens as readonly Token[];
  const room = Math.max(0, tokensMax - given.length - endingTokens.length);
  const documentTokens = model.tokenize(document);
  const length = given.length + documentTokens.length + endingTokens.length;
  if (accepted !== undefined && (length < accepted.least || length > accepted.most)) {
    const range = `the demo takes ${accepted.least} to ${accepted.most}`;
    throw new StoreError('INVALID', `the prompt has ${length} tokens; ${range}`);
  }
  const before = [...given, ...documentTokens.slice(0, room)];
  return { tokens: [...before, ...endingTokens], documentTokens: before.length };
}

async function measure(
  { answerTokens }: AnswerJob,
  parts: { readonly engine: LlamaEngine; readonly store: KvStore; readonly tell: Tell },
  promptTokens: Token[],
): Promise<Measured> {
  const { engine, store, tell } = parts;
  const { clock } = nodePlatform();
  const sequence: LlamaContextSequence = engine.getSequence();
  const tokens: Token[] = [];
  let firstTokenMs = 0;
  const before = await store.stats();
  let after = before;
  const startMs = clock.nowMs();
  for await (const token of sequence.evaluate(promptTokens, { temperature: 0 })) {
    if (tokens.length === 0) {
      firstTokenMs = clock.nowMs() - startMs;
      after = await store.stats();
    }
    tokens.push(token);
    if (tokens.length >= answerTokens) break;
    if (tokens.length % tokensPerMessage === 0) await tell({ kind: 'token', count: tokens.length });
  }
  return { firstTokenMs, tokens, toFirstToken: difference(before, after) };
}

function difference(before: StoreStats, after: StoreStats): StoreUse {
  const tier = (name: 'memory' | 'disk' | 'object'): StoreUse['disk'] => ({
    payloads: after[name].hits - before[name].hits,
    bytes: after[name].hitBytes - before[name].hitBytes,
  });
  const { requests: earlier } = before.object;
  const { requests } = after.object;
  return {
    memory: tier('memory'),
    disk: tier('disk'),
    object: tier('object'),
    requests: {
      put: requests.put - earlier.put,
      get: requests.get - earlier.get,
      head: requests.head - earlier.head,
      list: requests.list - earlier.list,
      delete: requests.delete - earlier.delete,
    },
    readBytes: after.object.readBytes - before.object.readBytes,
  };
}

/** Keeps the last failure that the store or the engine logged. */
class LastFailure implements Logger {
  text: string | undefined;

  error(event: string, fields: LogFields = {}): void {
    const { reason } = fields;
    this.text = reason === undefined ? event : `${event}: ${String(reason)}`;
  }

  info(): void {}

  debug(): void {}
}
