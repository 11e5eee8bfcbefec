import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { LlamaLogLevel, getLlama } from 'node-llama-cpp';
import type { Llama, LlamaContextSequence, Token } from 'node-llama-cpp';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { randomModels } from '../../src/engines/llama/gguf-model.ts';
import type { RandomModelName } from '../../src/engines/llama/gguf-model.ts';
import { writeRandomModel } from '../../src/engines/llama/gguf-writer.ts';
import { openStore } from '../../src/index.ts';
import { openLlama } from '../../src/llama.ts';
import type { LlamaEngine, LlamaEngineOptions } from '../../src/llama.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { patience } from '../support/patience.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

/** Engines of one suite in this process, on small models that lie in a directory of its own. */
export class EngineScene {
  readonly llama: Llama;
  readonly directory: TemporaryDirectory;
  readonly #engines: LlamaEngine[] = [];
  readonly #stores: KvStore[] = [];

  private constructor(llama: Llama, directory: TemporaryDirectory) {
    this.llama = llama;
    this.directory = directory;
  }

  static async make(label: string): Promise<EngineScene> {
    const options = { gpu: false, build: 'never', skipDownload: true } as const;
    const llama = await getLlama({ ...options, logLevel: LlamaLogLevel.error });
    return new EngineScene(llama, await makeTemporaryDirectory(label));
  }

  async remove(): Promise<void> {
    await this.disposeAll();
    await this.llama.dispose();
    await this.directory.remove();
  }

  /** Disposes all engines and closes all stores, those first that were opened last. */
  async disposeAll(): Promise<void> {
    for (const engine of this.#engines.splice(0).reverse()) await engine.dispose();
    for (const store of this.#stores.splice(0)) await store.close();
  }

  async model(name: RandomModelName): Promise<string> {
    const path = `${this.directory.path}/${name}.gguf`;
    const platform = nodePlatform();
    if ((await platform.files.status(path)) === undefined) {
      await writeRandomModel(platform, path, randomModels[name]);
    }
    return path;
  }

  /** A small store in memory: an engine of a test needs little, and touching memory takes time. */
  async store(): Promise<KvStore> {
    const store = await openStore({
      ...{ objectStore: 'memory:', cacheDirectory: false, compression: 'off' },
      memoryBytes: 32 * 1024 ** 2,
      ...patience,
    });
    this.#stores.push(store);
    return store;
  }

  /** An engine on the micro model that restores always and saves when it is told to. */
  async engine(
    store: KvStore,
    options: Partial<LlamaEngineOptions> & { readonly name?: RandomModelName } = {},
  ): Promise<LlamaEngine> {
    const { name = 'micro', context, ...rest } = options;
    const engine = await openLlama({
      ...{ llama: this.llama, modelPath: await this.model(name), restore: 'always' },
      hashMemoryPath: `${this.directory.path}/hashes.json`,
      saveDelayMs: 3_600_000,
      ...rest,
      store,
      context: { contextSize: 1024, batchSize: 512, threads: 1, ...context },
    });
    this.#engines.push(engine);
    return engine;
  }
}

/** Text tokens that depend on the seed alone. */
export function randomTokens(seed: string, count: number): Token[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => random.below(256) as Token);
}

/** The likeliest tokens after the prompt. */
export async function generate(
  sequence: LlamaContextSequence,
  prompt: Token[],
  count: number,
): Promise<Token[]> {
  const said: Token[] = [];
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    said.push(token);
    if (said.length === count) break;
  }
  return said;
}

/** State files of this process that are there now. */
export async function stateFiles(): Promise<string[]> {
  const { memoryDirectory } = nodePlatform().host;
  const directories = memoryDirectory === undefined ? [tmpdir()] : [memoryDirectory, tmpdir()];
  const names = (await Promise.all(directories.map((directory) => readdir(directory)))).flat();
  return names.filter((name) => name.startsWith(`wombatkv-${process.pid}-`));
}
