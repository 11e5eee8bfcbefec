import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LlamaContextSequence } from 'node-llama-cpp';
import type { LlamaEngine } from '../../src/engines/llama/llama-engine.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { timed } from '../measure.ts';
import type { SaveMeasured } from './engine-job.ts';
import type { SpanLog } from './spans.ts';

export interface SaveParts {
  readonly engine: LlamaEngine;
  readonly sequence: LlamaContextSequence;
  readonly log: SpanLog;
  readonly savesDuringAnswer: number;
}

const repeats = 7;

/** Saves the sequence, which holds an answer, and takes apart what the engine notices of it. */
export async function measureSave(parts: SaveParts): Promise<SaveMeasured> {
  const { engine, sequence, log, savesDuringAnswer } = parts;
  const watch = new TurnWatch();
  const startMs = performance.now();
  await engine.settle();
  const acceptedMs = performance.now() - startMs;
  const longestBlockMs = watch.stop();
  const spans = log.take(startMs, startMs + acceptedMs);
  const exports = spans.filter(({ name }) => name === 'saveState');
  if (exports.length === 0) throw new Error('nothing was saved after the answer');
  const { statistics } = engine;
  const againMs: number[] = [];
  for (let i = 0; i < repeats; i += 1) againMs.push(await timed(() => engine.settle()));
  const againExports = engine.statistics.exports - statistics.exports;
  return {
    exportAloneMs: await exportAlone(sequence),
    // The engine's locks on the sequence are free when the export has ended.
    sequenceFreeMs: Math.max(...exports.map(({ endMs }) => endMs)),
    ...{ acceptedMs, longestBlockMs, againMs, againExports, savesDuringAnswer, statistics },
  };
}

/** The engine's own export, into new files where the adapter's are. */
async function exportAlone(sequence: LlamaContextSequence): Promise<number[]> {
  const { host } = nodePlatform();
  const directory = host.memoryDirectory ?? host.temporaryDirectory;
  const samples: number[] = [];
  for (let i = 0; i < repeats; i += 1) {
    const path = join(directory, `wombatkv-bench-${process.pid}-${i}.state`);
    try {
      samples.push(await timed(() => sequence.saveStateToFile(path)));
    } finally {
      rmSync(path, { force: true });
    }
  }
  return samples;
}

/** Looks every millisecond how late it is: so long did the thread do nothing else. */
class TurnWatch {
  #longestMs = 0;
  #lastMs = performance.now();
  readonly #timer = setInterval(() => this.#look(), 1);

  stop(): number {
    this.#look();
    clearInterval(this.#timer);
    return this.#longestMs;
  }

  #look(): void {
    const nowMs = performance.now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs - 1);
    this.#lastMs = nowMs;
  }
}
