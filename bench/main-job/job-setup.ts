import { join } from 'node:path';
import { demoCacheDirectory, randomModelPath } from '../../src/cli/demo/demo-model.ts';
import { randomModels } from '../../src/engines/llama/gguf-model.ts';
import type { RandomModelName } from '../../src/engines/llama/gguf-model.ts';
import type { EngineSetup, StoreSetup } from '../engine/engine-job.ts';
import { randomTokens } from '../prompts.ts';
import type { BenchContext } from '../scenario.ts';

/** What the parts of the main job have in common. */
export interface JobSetup {
  readonly modelName: RandomModelName;
  readonly engine: EngineSetup;
  readonly restore: StoreSetup['restore'];
  readonly prompt: readonly number[];
  readonly vocabularySize: number;
  readonly answerTokens: number;
  readonly rounds: number;
  readonly lossRounds: number;
  readonly suffixRounds: number;
  readonly directory: string;
}

const promptTokens = 1700;
/** The reference answer; it must hold at least so many distinct tokens. */
export const answerTokens = 64;
export const distinctTokensMin = 20;

/** The model by the method of the bars, or the micro model. */
export async function setUpJob(context: BenchContext): Promise<JobSetup> {
  const { platform, progress, isQuick, rounds, directory } = context;
  const modelName = isQuick ? 'micro' : 'qwen2.5-0.5b';
  const { vocabularySize } = randomModels[modelName];
  return {
    modelName,
    engine: {
      modelPath: await randomModelPath(platform, modelName, progress),
      hashMemoryPath: join(demoCacheDirectory(platform), 'model-hashes.json'),
      contextSize: isQuick ? 4096 : 8192,
      sequences: 1,
      threads: 1,
      kvType: 'F16',
    },
    // On the micro model computing is about as fast as restoring, and nothing would be restored.
    restore: isQuick ? 'always' : 'when-it-pays',
    prompt: randomTokens('prompt', promptTokens, vocabularySize),
    vocabularySize,
    answerTokens,
    rounds: rounds ?? (isQuick ? 2 : 5),
    lossRounds: rounds ?? (isQuick ? 3 : 9),
    suffixRounds: rounds ?? (isQuick ? 1 : 3),
    directory,
  };
}

/** A store of its own, with the restore policy of the job. */
export function storeAt(
  job: Pick<JobSetup, 'directory' | 'restore'>,
  names: { readonly objects: string; readonly cache: string },
): StoreSetup {
  const { directory, restore } = job;
  const config = {
    objectStore: `file://${encodeURI(join(directory, names.objects))}`,
    cacheDirectory: join(directory, names.cache),
  };
  return { config, restore };
}
