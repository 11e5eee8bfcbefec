/**
 * One engine in a process of its own: does the job on its standard input and writes the result, as
 * JSON, to its standard output.
 */
import { text } from 'node:stream/consumers';
import { LlamaLogLevel, getLlama } from 'node-llama-cpp';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/index.ts';
import { openLlama } from '../../src/llama.ts';
import type { LlamaEngine } from '../../src/llama.ts';
import { alteringStore } from './altering-store.ts';
import type { EngineJob, EngineResult, RunResult } from './engine-job.ts';
import { EngineRuns } from './engine-runs.ts';

/** Longer than any process lives: nothing is saved by itself. */
const neverMs = 3_600_000;

const job = JSON.parse(await text(process.stdin)) as EngineJob;
const result = await doJob(job);
await new Promise((resolve) => process.stdout.write(JSON.stringify(result), resolve));
if (job.ending === 'die') process.kill(process.pid, 'SIGKILL');
process.exit();

async function doJob(toDo: EngineJob): Promise<EngineResult> {
  const store = await openStoreOf(toDo);
  const engine = await openEngine(toDo, store);
  const count = toDo.context.sequences ?? 1;
  const engineRuns = new EngineRuns(Array.from({ length: count }, () => engine.getSequence()));
  const runs: RunResult[] = [];
  for (const run of toDo.runs) runs.push(await engineRuns.do(run));
  if (toDo.ending !== 'leave') await engine.settle();
  const { fingerprint, uncachedReason, statistics } = engine;
  const stats = await store.stats();
  // Whoever dies leaves its uploads to the next process.
  if (toDo.ending !== 'die') await store.close();
  return { fingerprint, uncachedReason, runs, statistics, stats };
}

async function openEngine(toDo: EngineJob, store: KvStore): Promise<LlamaEngine> {
  const { modelPath, restore, exact } = toDo;
  const llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
  });
  return openLlama({
    ...{ llama, modelPath, restore, exact },
    context: { contextSize: 1024, batchSize: 512, threads: 1, ...toDo.context },
    store: toDo.fault === undefined ? store : alteringStore(store),
    saveDelayMs: neverMs,
    hashMemoryPath: `${modelPath}.hashes`,
  });
}

function openStoreOf({ store }: EngineJob): Promise<KvStore> {
  const memoryBytes = 32 * 1024 ** 2;
  if (store === undefined) {
    return openStore({ objectStore: 'memory:', cacheDirectory: false, memoryBytes });
  }
  // What is restored is the question here, not how soon on a busy machine.
  const patience = { lookupDeadlineMs: 30_000, loadDeadlineMs: 30_000 };
  const objectStore = store.bucket ?? `file://${store.objects}`;
  return openStore({ objectStore, cacheDirectory: store.cache, memoryBytes, ...patience });
}
