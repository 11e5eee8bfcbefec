import assert from 'node:assert/strict';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LlamaLogLevel, getLlama } from 'node-llama-cpp';
import type { Llama, LlamaContextOptions, LlamaModel } from 'node-llama-cpp';
import { isStoreError } from '../../base/errors.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import { randomModels } from './gguf-model.ts';
import { writeRandomModel } from './gguf-writer.ts';
import { identify } from './llama-identity.ts';
import type { IdentityRequest, LlamaIdentity } from './llama-identity.ts';

/** Types of keys and values that need flash attention, and such that do not. */
const quantised: LlamaContextOptions = {
  flashAttention: true,
  experimentalKvCacheKeyType: 'Q8_0',
  experimentalKvCacheValueType: 'Q8_0',
};
const bfloat: LlamaContextOptions = {
  flashAttention: true,
  experimentalKvCacheKeyType: 'BF16',
  experimentalKvCacheValueType: 'BF16',
};

let directory: TemporaryDirectory;
let llama: Llama;
let model: LlamaModel;
let modelPath: string;

before(async () => {
  directory = await makeTemporaryDirectory('llama-identity');
  modelPath = join(directory.path, 'micro.gguf');
  await writeRandomModel(nodePlatform(), modelPath, randomModels.micro);
  llama = await getLlama({
    gpu: false,
    build: 'never',
    skipDownload: true,
    logLevel: LlamaLogLevel.error,
  });
  model = await llama.loadModel({ modelPath });
});

after(async () => {
  await llama.dispose();
  await directory.remove();
});

describe('identify(): the fingerprint', () => {
  it('does not depend on threads, batches, sizes, sequences or the block size', async () => {
    const plain = await identityOf({});
    const others: readonly LlamaContextOptions[] = [
      { threads: 2 },
      { batchSize: 64 },
      { contextSize: 1024 },
      { sequences: 3 },
      { flashAttention: 'auto' },
    ];
    for (const options of others) {
      const { fingerprint } = await identityOf(options);
      assert.equal(fingerprint, plain.fingerprint, JSON.stringify(options));
    }
    const { fingerprint } = await identityOf({}, { blockTokens: 256 });
    assert.equal(fingerprint, plain.fingerprint);
  });

  it('differs for every layout and type of KV', async () => {
    const options: readonly LlamaContextOptions[] = [
      { flashAttention: true },
      { flashAttention: false },
      quantised,
      { ...quantised, experimentalKvCacheValueType: 'F16' },
      { flashAttention: false, experimentalKvCacheKeyType: 'Q8_0' },
      bfloat,
      { ...bfloat, flashAttention: false },
    ];
    const all = [];
    for (const one of options) all.push((await identityOf(one)).fingerprint);
    assert.equal(new Set(all).size, options.length);
  });

  it('is the same for a copy of the model, and another for an edited one', async () => {
    const copy = join(directory.path, 'copy.gguf');
    await copyFile(modelPath, copy);
    const original = await identityOf({});
    assert.equal((await identityOf({}, { modelPath: copy })).fingerprint, original.fingerprint);
    const bytes = await readFile(copy);
    bytes[bytes.length - 1] ^= 1;
    await writeFile(copy, bytes);
    assert.notEqual((await identityOf({}, { modelPath: copy })).fingerprint, original.fingerprint);
  });

  it('differs with replaced metadata, of every kind', async () => {
    const overrides: readonly unknown[] = [
      undefined,
      {},
      { llama: { rope: { freq_base: 500_000 } } },
      { llama: { rope: { freq_base: 500_001 } } },
      { llama: { rope: { freq_base: 500_000n } } },
      { llama: { rope: { freq_base: '500000' } } },
      { llama: { rope: { scaling: { type: 'yarn' } } } },
      { tokenizer: { ggml: { add_bos_token: true } } },
    ];
    const all = [];
    for (const metadataOverrides of overrides) {
      all.push((await identityOf({}, { metadataOverrides })).fingerprint);
    }
    assert.equal(new Set(all).size, overrides.length);
  });

  it('differs with LoRA adapters: their contents, scales, order and number', async () => {
    const [one, two] = [join(directory.path, 'one.lora'), join(directory.path, 'two.lora')];
    await writeFile(one, 'one');
    await writeFile(two, 'two');
    const sets: readonly IdentityRequest['loraAdapters'][] = [
      [],
      [{ filePath: one, scale: 1 }],
      [{ filePath: one, scale: 0.5 }],
      [{ filePath: two, scale: 1 }],
      [one, two].map((filePath) => ({ filePath, scale: 1 })),
      [two, one].map((filePath) => ({ filePath, scale: 1 })),
    ];
    const all = [];
    for (const loraAdapters of sets) all.push((await identityOf({}, { loraAdapters })).fingerprint);
    assert.equal(new Set(all).size, sets.length);
  });

  /** What llama.cpp makes of the variable: C's atoi, and off for anything but zero. */
  const settings: readonly [string | undefined, 'on' | 'off'][] = [
    [undefined, 'on'],
    ['', 'on'],
    ['0', 'on'],
    ['false', 'on'],
    ['true', 'on'],
    ['1', 'off'],
    ['01', 'off'],
    [' 2x', 'off'],
    ['-1', 'off'],
  ];

  it('of quantised KV depends on whether attention is rotated', async () => {
    const on = (await identityOf(quantised, rotation(undefined))).fingerprint;
    const off = (await identityOf(quantised, rotation('1'))).fingerprint;
    assert.notEqual(on, off);
    for (const [value, meaning] of settings) {
      const { fingerprint } = await identityOf(quantised, rotation(value));
      assert.equal(fingerprint, meaning === 'on' ? on : off, `"${value}"`);
    }
    const keysOnly = { flashAttention: false, experimentalKvCacheKeyType: 'Q8_0' } as const;
    assert.notEqual(
      (await identityOf(keysOnly, rotation('1'))).fingerprint,
      (await identityOf(keysOnly, rotation('0'))).fingerprint,
    );
  });

  it('takes the variable as llama.cpp does', async () => {
    const rotated = await stateOf(undefined);
    for (const [value, meaning] of settings) {
      const isRotated = rotated.equals(await stateOf(value));
      assert.equal(isRotated ? 'on' : 'off', meaning, `"${value}"`);
    }
  });

  it('of plain KV does not depend on the rotation', async () => {
    for (const options of [{ flashAttention: true }, { flashAttention: false }, bfloat]) {
      const plain = await identityOf(options);
      const off = await identityOf(options, rotation('1'));
      assert.equal(off.fingerprint, plain.fingerprint);
    }
  });
});

describe('identify()', () => {
  it('gives chains of another block size another seed', async () => {
    const [small, large] = [await identityOf({}), await identityOf({}, { blockTokens: 256 })];
    assert.notEqual(small.seed, large.seed);
  });

  it('tells streams, and that a decode takes time', async () => {
    assert.equal((await identityOf({})).streams, 1);
    const { streams, decodeMs } = await identityOf({ sequences: 3 });
    assert.equal(streams, 3);
    assert.ok(decodeMs > 0);
  });

  it('knows the smallest batch that computes a token as a large one does', async () => {
    const cases: readonly [LlamaContextOptions, number][] = [
      [{ flashAttention: true }, 64],
      [{ flashAttention: false }, 2],
      [quantised, 2],
      [{ ...quantised, experimentalKvCacheValueType: 'F16' }, 64],
      [bfloat, 2],
    ];
    for (const [options, tokens] of cases) {
      const { regularBatchMin } = await identityOf(options);
      assert.equal(regularBatchMin, tokens, JSON.stringify(options));
    }
  });

  it('refuses a library that hides how cells are erased', async () => {
    const context = await model.createContext({ contextSize: 256, threads: 1 });
    const getSequence = context.getSequence.bind(context);
    context.getSequence = (...given) =>
      Object.assign(getSequence(...given), {
        _eraseContextTokenRanges: undefined,
        clearHistory: () => Promise.resolve(),
      });
    await assert.rejects(identify(request({ context })), (error) =>
      isStoreError(error, 'INCOMPATIBLE'),
    );
    await context.dispose();
  });
});

async function identityOf(
  options: LlamaContextOptions,
  differences: Partial<IdentityRequest> = {},
): Promise<LlamaIdentity> {
  const context = await model.createContext({ contextSize: 256, threads: 1, ...options });
  try {
    return await identify(request({ context, ...differences }));
  } finally {
    await context.dispose();
  }
}

function request(
  given: Pick<IdentityRequest, 'context'> & Partial<IdentityRequest>,
): IdentityRequest {
  return {
    platform: nodePlatform(),
    ...{ model, modelPath, metadataOverrides: undefined, loraAdapters: [], blockTokens: 128 },
    hashMemoryPath: join(directory.path, 'hashes.json'),
    ...given,
  };
}

function rotation(value: string | undefined): Pick<IdentityRequest, 'platform'> {
  const platform = nodePlatform();
  const environment = { ...platform.environment, LLAMA_ATTN_ROT_DISABLE: value };
  return { platform: { ...platform, environment } };
}

/** The state of a token, with the variable set for the engine itself. */
async function stateOf(value: string | undefined): Promise<Buffer> {
  const path = join(directory.path, 'rotation.state');
  if (value === undefined) delete process.env['LLAMA_ATTN_ROT_DISABLE'];
  else process.env['LLAMA_ATTN_ROT_DISABLE'] = value;
  const context = await model.createContext({ contextSize: 256, threads: 1, ...quantised });
  try {
    const sequence = context.getSequence();
    await sequence.evaluateWithoutGeneratingNewTokens(model.tokenize('a'));
    await sequence.saveStateToFile(path);
    return await readFile(path);
  } finally {
    delete process.env['LLAMA_ATTN_ROT_DISABLE'];
    await context.dispose();
  }
}
