import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LlamaLogLevel, getLlama } from 'node-llama-cpp';
import type {
  Llama,
  LlamaContextOptions,
  LlamaContextSequence,
  LlamaModel,
  Token,
} from 'node-llama-cpp';
import { concatBytes } from '../../base/bytes.ts';
import { isStoreError } from '../../base/errors.ts';
import { nodeFiles } from '../../platform/node-files.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { seededRandom } from '../../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import { randomModels } from './gguf-model.ts';
import type { RandomModelName } from './gguf-model.ts';
import { writeRandomModel } from './gguf-writer.ts';
import { imageBuffers, planImage } from './state-image.ts';
import { geometryText, payloadByteLength } from './state-layout.ts';
import { readCells, sliceState } from './state-payload.ts';
import { parseState, readState } from './state-parse.ts';

/** The codec against llama.cpp itself, on a model of two layers. */
const blockTokens = 128;
const prompt = randomTokens(300);

let directory: TemporaryDirectory;
let llama: Llama;
let micro: LlamaModel;

before(async () => {
  directory = await makeTemporaryDirectory('state-engine');
  llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
  });
  micro = await loadModel('micro');
});

after(async () => {
  await llama.dispose();
  await directory.remove();
});

describe('a state file of llama.cpp', () => {
  const types = (key: CacheType, value = key): CacheTypes => ({
    experimentalKvCacheKeyType: key,
    experimentalKvCacheValueType: value,
  });
  const cases: readonly [string, LlamaContextOptions, string][] = [
    ['F16, flash attention', { flashAttention: true }, 'rows k 1:128:0*2 v 1:128:0*2'],
    ['F16', { flashAttention: false }, 'transposed k 1:128:0*2 v 1:128:2*2'],
    [
      'Q8_0, flash attention',
      { flashAttention: true, ...types('Q8_0') },
      'rows k 8:68:0*2 v 8:68:0*2',
    ],
    [
      'keys Q8_0, values F16',
      { flashAttention: false, ...types('Q8_0', 'F16') },
      'transposed k 8:68:0*2 v 1:128:2*2',
    ],
    ['F32', { flashAttention: false, ...types('F32') }, 'transposed k 0:256:0*2 v 0:256:4*2'],
    [
      'BF16, flash attention',
      { flashAttention: true, ...types('BF16') },
      'rows k 30:128:0*2 v 30:128:0*2',
    ],
    ['BF16', { flashAttention: false, ...types('BF16') }, 'transposed k 30:128:0*2 v 30:128:2*2'],
    ['three sequences', { flashAttention: true, sequences: 3 }, 'rows k 1:128:0*2 v 1:128:0*2'],
    [
      'three sequences, transposed',
      { flashAttention: false, sequences: 3 },
      'transposed k 1:128:0*2 v 1:128:2*2',
    ],
  ];
  for (const [name, options, geometry] of cases) {
    it(`is cut and put together again, byte for byte: ${name}`, async () => {
      const path = await savedState(micro, prompt, options);
      const bytes = await readFile(path);
      const { state, blocks, tail } = sliceState(bytes, { blockTokens, firstBlock: 0 });
      assert.equal(geometryText(state.geometry), geometry);
      assert.deepEqual([...state.tokens], prompt);
      assert.equal(state.streams, options.sequences ?? 1);
      assert.equal(state.stream, state.streams - 1);
      assert.equal(blocks.length, 2);
      assert.equal(tail?.length, payloadByteLength(state.geometry, 44));
      const plan = planImage(state.geometry, state.tokens, state);
      assert.deepEqual(Buffer.concat(imageBuffers(plan, [...blocks, tail])), bytes);

      const file = await nodeFiles.open(path, 'read');
      const target = new Uint8Array(blocks[1].length);
      await readCells(file, await readState(file), [{ range: { start: 128, end: 256 }, target }]);
      await file.close();
      assert.deepEqual(target, blocks[1]);
    });
  }

  it('grows with the sequence: earlier blocks stay as they were', async () => {
    const short = sliceOf(await savedState(micro, prompt.slice(0, 256), {}));
    const long = sliceOf(await savedState(micro, prompt, {}));
    assert.deepEqual((await long).blocks, (await short).blocks);
  });
});

describe('a file made of stored blocks', () => {
  /**
   * Goal: llama.cpp takes the file and goes on as if it had seen the tokens. Method: one context
   * prefills everything; another of three sequences loads one block into its last sequence, from a
   * file that has the cells in another stream, and prefills the rest.
   */
  it('continues with the same tokens', async () => {
    const options = { flashAttention: false, sequences: 3 };
    const { state, blocks } = await sliceOf(await savedState(micro, prompt, options));
    const plan = planImage(state.geometry, state.tokens.slice(0, blockTokens), {
      streams: 3,
      stream: 0,
      sequenceId: 0,
    });
    const path = join(directory.path, 'rebuilt.state');
    await writeFile(path, concatBytes(imageBuffers(plan, blocks.slice(0, 1))));
    const cold = await withSequence(micro, options, (sequence) => greedy(sequence, prompt));
    const warm = await withSequence(micro, options, async (sequence) => {
      await sequence.loadStateFromFile(path, { acceptRisk: true });
      assert.deepEqual([...sequence.contextTokens], prompt.slice(0, blockTokens));
      return greedy(sequence, prompt.slice(blockTokens));
    });
    assert.deepEqual(warm, cold);
    assert.ok(new Set(cold).size >= 20, `only ${new Set(cold).size} different tokens`);
  });
});

describe('refused', () => {
  it('a model with sliding windows', async () => {
    const gemma = await loadModel('tiny-gemma3');
    for (const count of [1, 300]) {
      const path = await savedState(gemma, prompt.slice(0, count), {});
      await refuses(path, /follow the keys and values: the model has sliding-window/);
    }
    await gemma.dispose();
  });

  it('a context that was shifted and went on: new tokens fill the hole', async () => {
    const path = join(directory.path, 'shifted-on.state');
    await withSequence(micro, {}, async (sequence) => {
      await sequence.evaluateWithoutGeneratingNewTokens(asTokens(prompt.slice(0, 299)));
      await sequence.eraseContextTokenRanges([{ start: 50, end: 60 }]);
      await sequence.evaluateWithoutGeneratingNewTokens(asTokens(prompt.slice(299)));
      await sequence.saveStateToFile(path);
    });
    await refuses(path, /cell 50 has position 289: the context was shifted/);
  });

  async function refuses(path: string, reason: RegExp): Promise<void> {
    const bytes = await readFile(path);
    assert.throws(
      () => parseState(bytes),
      (error) => isStoreError(error, 'INCOMPATIBLE') && reason.test(error.message),
    );
  }
});

describe('parseState() cannot see', () => {
  /** Why the adapter must know what was erased: right after a shift everything looks in order. */
  it('that a context was shifted and saved at once', async () => {
    const path = join(directory.path, 'shifted.state');
    await withSequence(micro, {}, async (sequence) => {
      await sequence.evaluateWithoutGeneratingNewTokens(asTokens(prompt));
      await sequence.eraseContextTokenRanges([{ start: 50, end: 60 }]);
      await sequence.saveStateToFile(path);
    });
    const left = [...prompt.slice(0, 50), ...prompt.slice(60)];
    const shifted = await sliceOf(path);
    const honest = await sliceOf(await savedState(micro, left, {}));
    assert.deepEqual(shifted.state, honest.state);
    assert.notDeepEqual(shifted.blocks[1], honest.blocks[1]);
  });
});

type CacheType = 'F32' | 'F16' | 'BF16' | 'Q8_0';
type CacheTypes = Pick<
  LlamaContextOptions,
  'experimentalKvCacheKeyType' | 'experimentalKvCacheValueType'
>;

async function loadModel(name: RandomModelName): Promise<LlamaModel> {
  const modelPath = join(directory.path, `${name}.gguf`);
  await writeRandomModel(nodePlatform(), modelPath, randomModels[name]);
  return llama.loadModel({ modelPath });
}

/** Prefills the tokens and saves the state of the context's last sequence. */
async function savedState(
  model: LlamaModel,
  tokens: readonly number[],
  options: LlamaContextOptions,
): Promise<string> {
  const path = join(directory.path, `${seedOf(options)}-${tokens.length}.state`);
  await withSequence(model, options, async (sequence) => {
    await sequence.evaluateWithoutGeneratingNewTokens(asTokens(tokens));
    await sequence.saveStateToFile(path);
  });
  return path;
}

async function sliceOf(path: string): Promise<ReturnType<typeof sliceState>> {
  return sliceState(await readFile(path), { blockTokens, firstBlock: 0 });
}

async function withSequence<T>(
  model: LlamaModel,
  options: LlamaContextOptions,
  use: (sequence: LlamaContextSequence) => Promise<T>,
): Promise<T> {
  const context = await model.createContext({ contextSize: 512, threads: 1, ...options });
  try {
    const sequences = Array.from({ length: options.sequences ?? 1 }, () => context.getSequence());
    return await use(sequences[sequences.length - 1]);
  } finally {
    await context.dispose();
  }
}

/** 64 tokens, each the likeliest. */
async function greedy(
  sequence: LlamaContextSequence,
  tokens: readonly number[],
): Promise<number[]> {
  const said: number[] = [];
  for await (const token of sequence.evaluate(asTokens(tokens), { temperature: 0 })) {
    said.push(token);
    if (said.length === 64) break;
  }
  return said;
}

function randomTokens(count: number): number[] {
  const random = seededRandom('prompt');
  return Array.from({ length: count }, () => random.below(256));
}

function asTokens(tokens: readonly number[]): Token[] {
  return tokens as Token[];
}

function seedOf(options: LlamaContextOptions): string {
  return JSON.stringify(options).replaceAll(/\W+/g, '-');
}
