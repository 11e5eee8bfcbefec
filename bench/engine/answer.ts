import type { LlamaContextSequence } from 'node-llama-cpp';
import type { StoreStats } from '../../src/blocks/kv-store.ts';
import type { AnswerJob, AnswerResult, StoreSetup, StoreUse } from './engine-job.ts';
import { generate, loadAlone, loadStored, prefillButLast, versionsOf } from './loaded-engine.ts';
import { measureSave } from './save.ts';
import { SpanLog } from './spans.ts';

/** An answer as it was measured; times are those of the process. */
interface Measured {
  readonly startMs: number;
  readonly tokenMs: readonly number[];
  readonly cpuMs: number;
  readonly tokens: readonly number[];
}

/** Answers the prompt and tells what that took. */
export function runAnswer(job: AnswerJob): Promise<AnswerResult> {
  const { use } = job;
  return typeof use === 'string' ? answerAlone(job) : answerWithStore(job, use);
}

async function answerAlone(job: AnswerJob): Promise<AnswerResult> {
  const context = await loadAlone(job.engine);
  const measured = await measure(job, context.getSequence());
  return {
    ...timesOf(measured),
    ...{ restoredTokens: 0, spans: [], use: undefined, save: undefined },
    versions: await versionsOf(context.model),
  };
}

async function answerWithStore(job: AnswerJob, setup: StoreSetup): Promise<AnswerResult> {
  const log = new SpanLog();
  const { store, engine } = await loadStored(job.engine, setup, { log });
  const sequence = engine.getSequence();
  const versions = await versionsOf(engine.model);
  const before = await store.stats();
  const measured = await measure(job, sequence);
  // The store is read before the first token only, and nothing is saved yet.
  const use = useOf(before, await store.stats());
  const spans = log.take(measured.startMs, performance.now());
  const { restoredTokens } = engine.statistics;
  const savesDuringAnswer = spans.filter(({ name }) => name === 'save').length;
  const isTakenApart = job.ending === 'measure-save';
  const saveParts = { engine, sequence, log, savesDuringAnswer };
  const save = isTakenApart ? await measureSave(saveParts) : undefined;
  if (job.ending !== 'drop') {
    await engine.dispose();
    await store.flush();
    await store.close();
  }
  const times = timesOf(measured);
  const early = spans.filter(({ endMs }) => endMs <= times.firstTokenMs);
  return { ...times, restoredTokens, use, save, spans: early, versions };
}

async function measure(job: AnswerJob, sequence: LlamaContextSequence): Promise<Measured> {
  const tokenMs: number[] = [];
  const cpuBefore = process.cpuUsage();
  let cpuMs = 0;
  const startMs = performance.now();
  if (job.use === 'alone, same cuts') {
    await prefillButLast(sequence, job.prompt);
  }
  const rest = job.prompt.slice(sequence.nextTokenIndex);
  const tokens = await generate(sequence, rest, job.answerTokens, () => {
    tokenMs.push(performance.now());
    if (tokenMs.length > 1) return;
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuMs = (user + system) / 1000;
  });
  return { startMs, tokenMs, cpuMs, tokens };
}

function timesOf({
  startMs,
  tokenMs,
  cpuMs,
  tokens,
}: Measured): Pick<AnswerResult, 'firstTokenMs' | 'firstTokenCpuMs' | 'decodeMs' | 'tokens'> {
  return {
    firstTokenMs: tokenMs[0] - startMs,
    firstTokenCpuMs: cpuMs,
    decodeMs: tokenMs.slice(1).map((ms, index) => ms - tokenMs[index]),
    tokens,
  };
}

function useOf(before: StoreStats, after: StoreStats): StoreUse {
  const { requests } = after.object;
  const earlier = before.object.requests;
  return {
    memoryBytes: after.memory.hitBytes - before.memory.hitBytes,
    diskBytes: after.disk.hitBytes - before.disk.hitBytes,
    objectBytes: after.object.hitBytes - before.object.hitBytes,
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
