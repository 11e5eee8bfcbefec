import assert from 'node:assert/strict';
import { cp, mkdir } from 'node:fs/promises';
import { llamaSeedInput } from '../../src/blocks/fingerprint.ts';
import type { Fingerprint } from '../../src/blocks/fingerprint.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import { randomModels } from '../../src/engines/llama/gguf-model.ts';
import type { RandomModelName } from '../../src/engines/llama/gguf-model.ts';
import { writeRandomModel } from '../../src/engines/llama/gguf-writer.ts';
import { openStore } from '../../src/index.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { patience } from '../support/patience.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import type {
  EngineContext,
  EngineJob,
  EngineResult,
  RunResult,
  StorePlace,
} from './engine-job.ts';
import { runEngine } from './engine-process.ts';

/** A model and the settings that change its KV values. */
export interface Configuration {
  readonly name: string;
  readonly model: RandomModelName;
  readonly context: EngineContext;
  /** Tokens of the smallest batch that may follow what was restored. */
  readonly regularBatchMin: 2 | 64;
}

/** Tokens generated and compared for each prompt. */
export const answerTokens = 64;
/** Fewer different tokens among them would make the comparison worthless. */
const distinctTokensMin = 20;
const promptTokens = 700;
export const blockTokens = 128;

const prompt = randomTokens('prompt', promptTokens);

/** The prompts of the matrix. `prompt` has five blocks, 59 tokens, and the last. */
export const prompts = {
  prompt,
  /** Shares four blocks. */
  suffix: [...prompt.slice(0, 512), ...randomTokens('suffix', 188)],
  oneLonger: [...prompt, 77],
  muchLonger: [...prompt, ...randomTokens('much longer', 100)],
  threeLonger: [...prompt, 77, 78, 79],
  /** Shares five blocks; other tokens after them. */
  otherTail: [...prompt.slice(0, 640), ...randomTokens('tail', 60)],
};

export type PromptName = keyof typeof prompts;

/** One configuration under test: its model file, its stores, and what it says without any. */
export class EqualityScene {
  readonly configuration: Configuration;
  readonly #directory: TemporaryDirectory;
  readonly #references = new Map<PromptName, Promise<EngineResult>>();
  #places = 0;

  private constructor(configuration: Configuration, directory: TemporaryDirectory) {
    this.configuration = configuration;
    this.#directory = directory;
  }

  static async make(configuration: Configuration): Promise<EqualityScene> {
    const scene = new EqualityScene(configuration, await makeTemporaryDirectory('equality'));
    const spec = randomModels[configuration.model];
    await writeRandomModel(nodePlatform(), scene.modelPath, spec);
    return scene;
  }

  get modelPath(): string {
    return `${this.#directory.path}/model.gguf`;
  }

  remove(): Promise<void> {
    return this.#directory.remove();
  }

  /** Answers prompts in a fresh process. */
  run(job: Partial<EngineJob> & Pick<EngineJob, 'runs'>): Promise<EngineResult> {
    const { context } = this.configuration;
    return runEngine({
      ...{ modelPath: this.modelPath, restore: 'always', ending: 'leave', ...job },
      context: { ...context, ...job.context },
    });
  }

  /** Answers one prompt in a fresh process that restores whatever it can. */
  restart(name: PromptName, job: Partial<EngineJob>): Promise<EngineResult> {
    return this.run({ ...job, runs: [answer(name)] });
  }

  /** Takes the answer of an uncached process that ran for another reason too. */
  useAsReference(name: PromptName, result: EngineResult): void {
    this.#references.set(name, Promise.resolve(result));
  }

  /** What an uncached process answers: one that never restores. */
  async reference(name: PromptName): Promise<RunResult> {
    const known = this.#references.get(name) ?? this.restart(name, { restore: 'never' });
    this.#references.set(name, known);
    const result = await known;
    assert.equal(result.uncachedReason, undefined);
    assert.equal(result.statistics.restoredTokens, 0);
    const [run] = result.runs;
    assert.equal(run.tokens.length, answerTokens);
    assertLively(run);
    return run;
  }

  /** The result is that of the uncached process: tokens and probabilities, bit for bit. */
  async assertEqual(run: RunResult, name: PromptName): Promise<void> {
    assertSameAnswer(run, await this.reference(name));
  }

  /** A store of its own with nothing in it. */
  async newPlace(): Promise<StorePlace> {
    const root = `${this.#directory.path}/store-${this.#places}`;
    this.#places += 1;
    const place = { objects: `${root}/objects`, cache: `${root}/cache` };
    await mkdir(place.objects, { recursive: true });
    return place;
  }

  /** A copy of the store, with its cache or, as after a wipe, without. */
  async copyPlace(original: StorePlace, parts: 'all' | 'objects'): Promise<StorePlace> {
    const place = await this.newPlace();
    await cp(original.objects, place.objects, { recursive: true });
    if (parts === 'all') await cp(original.cache, place.cache, { recursive: true });
    return place;
  }
}

/** The run that answers the prompt, in the given sequence of the context. */
export function answer(name: PromptName, sequence = 0): EngineJob['runs'][number] {
  return { kind: 'prompt', sequence, prompt: prompts[name], count: answerTokens };
}

/** Opens the store in this process for a moment. */
export async function withStore(
  place: StorePlace,
  use: (store: KvStore) => Promise<unknown>,
): Promise<void> {
  const store = await openStore({
    objectStore: `file://${place.objects}`,
    cacheDirectory: place.cache,
    ...patience,
  });
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

/** The chain that an engine of this fingerprint stores for the tokens. */
export function prefixOf(fingerprint: string | undefined, tokens: readonly number[]): Prefix {
  assert.ok(fingerprint !== undefined, 'the engine has a fingerprint');
  const prefix = new Prefix(seedOf(llamaSeedInput(fingerprint as Fingerprint, blockTokens)));
  prefix.append(tokens);
  return prefix;
}

/** The same tokens, with the same probabilities, bit for bit. */
export function assertSameAnswer(run: RunResult, reference: RunResult): void {
  assert.deepEqual(run.tokens, reference.tokens);
  if (run.probabilities === reference.probabilities) return;
  const difference = greatestDifference(run.probabilities, reference.probabilities);
  assert.fail(`probabilities differ by up to ${difference.toExponential(1)}`);
}

/** The output is worth comparing: a model that repeats itself says the same whatever it read. */
export function assertLively(run: RunResult): void {
  const distinct = new Set(run.tokens).size;
  assert.ok(distinct >= distinctTokensMin, `only ${distinct} different tokens`);
}

function greatestDifference(one: string, other: string): number {
  const [a, b] = [one, other].map(
    (text) => new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer),
  );
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

export function randomTokens(seed: string, count: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => random.below(256));
}
