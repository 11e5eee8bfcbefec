import type { LlamaContext, LlamaContextSequence, LlamaModel } from 'node-llama-cpp';
import { blake3Hex } from '../../base/blake3.ts';
import { StoreError } from '../../base/errors.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import { fingerprintOf, llamaSeedInput } from '../../blocks/fingerprint.ts';
import type { CacheRow, Fingerprint, FingerprintIngredients } from '../../blocks/fingerprint.ts';
import { seedOf } from '../../blocks/prefix.ts';
import type { Platform } from '../../platform/platform.ts';
import { hashModel } from './model-hash.ts';
import { internalsOf } from './sequence-internals.ts';
import { StateFiles } from './state-files.ts';
import { stateVersion } from './state-layout.ts';
import type { RowGeometry, StateGeometry } from './state-layout.ts';
import { readState } from './state-parse.ts';
import type { LlamaState } from './state-parse.ts';

/** Everything about a context that its stored blocks depend on. */
export interface LlamaIdentity {
  readonly fingerprint: Fingerprint;
  /** What the fingerprint is made of. */
  readonly ingredients: FingerprintIngredients;
  readonly seed: BlockKey;
  readonly geometry: StateGeometry;
  /** Streams that a state file of this context must have. */
  readonly streams: number;
  /**
   * Tokens of the smallest regular batch (see `BatchRule`): on a CPU, flash attention over 16 or 32
   * bit floats computes 64 tokens or more with another program than fewer; everything else differs
   * only for a single token. Graphics processors choose their programs by the size of a batch in ways
   * that are not known; the larger number is taken for them.
   */
  readonly regularBatchMin: number;
  /** Milliseconds of one decode step, as measured by the probe. */
  readonly decodeMs: number;
}

export interface IdentityRequest {
  readonly platform: Platform;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  /** The file that the model was loaded from, absolute. */
  readonly modelPath: string;
  /** Metadata of the model that the program replaced, if any. */
  readonly metadataOverrides: unknown;
  /** LoRA adapters of the context, in the order of application. */
  readonly loraAdapters: readonly { readonly filePath: string; readonly scale: number }[];
  readonly blockTokens: number;
  /** Where hashes of models are remembered. */
  readonly hashMemoryPath: string;
}

/** More than the state of two tokens has with any model. */
const probeBytes = 16 * 1024 * 1024;
/** Types of ggml whose rows are plain numbers: F32, F16, BF16. Others are quantised. */
const plainTypes: readonly number[] = [0, 1, 30];
/** Those of them that flash attention computes in tiles when a batch fills one: F32, F16. */
const tiledTypes: readonly number[] = [0, 1];
/** Tokens of a tile (measured: batches of 63 and 64 tokens differ, of 64 and 512 do not). */
const tileTokens = 64;

/**
 * Finds the identity of a context: hashes the model, and looks at the state of one evaluated token.
 *
 * @throws StoreError `INCOMPATIBLE` when states of this context cannot be stored.
 */
export async function identify(request: IdentityRequest): Promise<LlamaIdentity> {
  const { platform, model, context, modelPath, blockTokens, hashMemoryPath } = request;
  const [modelBlake3, probed] = await Promise.all([
    hashModel(platform, modelPath, hashMemoryPath),
    probe(platform, model, context),
  ]);
  const loraAdapters = [];
  for (const { filePath, scale } of request.loraAdapters) {
    loraAdapters.push({ blake3: await hashModel(platform, filePath, hashMemoryPath), scale });
  }
  const { geometry } = probed;
  const types = [...geometry.keys, ...geometry.values].map(({ type }) => type);
  const isQuantised = types.some((type) => !plainTypes.includes(type));
  const ingredients: FingerprintIngredients = {
    modelBlake3,
    engine: 'llama.cpp',
    release: model.llama.llamaCppRelease.release,
    stateVersion,
    keyRows: geometry.keys.map(cacheRow),
    valueRows: geometry.values.map(cacheRow),
    isValueTransposed: geometry.isTransposed,
    attentionRotation: rotationOf(platform, isQuantised),
    ropeOverrides: overridesOf(request.metadataOverrides),
    slidingWindow: {},
    loraAdapters,
  };
  const fingerprint = fingerprintOf(ingredients);
  return {
    ...probed,
    ...{ fingerprint, ingredients },
    seed: seedOf(llamaSeedInput(fingerprint, blockTokens)),
    regularBatchMin: regularBatchMinOf(geometry, model.llama.gpu !== false),
  };
}

function regularBatchMinOf(geometry: StateGeometry, hasGpu: boolean): number {
  if (hasGpu) return tileTokens;
  const types = [...geometry.keys, ...geometry.values].map(({ type }) => type);
  const isTiled = !geometry.isTransposed && types.some((type) => tiledTypes.includes(type));
  return isTiled ? tileTokens : 2;
}

async function probe(
  platform: Platform,
  model: LlamaModel,
  context: LlamaContext,
): Promise<Pick<LlamaIdentity, 'geometry' | 'streams' | 'decodeMs'>> {
  const sequence = context.getSequence();
  try {
    internalsOf(sequence);
    const decodeMs = await measureDecode(platform, model, sequence);
    const { geometry, streams } = await stateOf(platform, sequence);
    return { geometry, streams, decodeMs };
  } finally {
    await sequence.clearHistory();
    await sequence.dispose();
  }
}

async function stateOf(platform: Platform, sequence: LlamaContextSequence): Promise<LlamaState> {
  const stateFiles = new StateFiles(platform);
  const path = await stateFiles.create(probeBytes);
  try {
    await sequence.saveStateToFile(path);
    const file = await platform.files.open(path, 'read');
    try {
      return await readState(file);
    } finally {
      await file.close();
    }
  } finally {
    await stateFiles.remove(path);
  }
}

/** The second of two single-token evaluations: the first also pages the weights in. */
async function measureDecode(
  platform: Platform,
  model: LlamaModel,
  sequence: LlamaContextSequence,
): Promise<number> {
  const token = model.tokens.bos ?? model.tokens.eos ?? model.tokenize('a')[0];
  if (token === undefined) throw new StoreError('INCOMPATIBLE', 'the model has no token to probe');
  await sequence.evaluateWithoutGeneratingNewTokens([token]);
  const start = platform.clock.nowMs();
  await sequence.evaluateWithoutGeneratingNewTokens([token]);
  return platform.clock.nowMs() - start;
}

/** Any replaced metadata may change values (RoPE among them): all of it enters, as a digest. */
function overridesOf(metadataOverrides: unknown): Readonly<Record<string, string>> {
  if (metadataOverrides === undefined) return {};
  const text = JSON.stringify(metadataOverrides, (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  );
  return { overrides: blake3Hex(new TextEncoder().encode(text)) };
}

function cacheRow({ type, rowBytes }: RowGeometry): CacheRow {
  return { type, byteLength: rowBytes };
}

/** llama.cpp rotates quantised KV unless this variable switches it off; the file does not say so. */
function rotationOf(
  platform: Platform,
  isQuantised: boolean,
): FingerprintIngredients['attentionRotation'] {
  if (!isQuantised) return 'not-applicable';
  // Read as C's atoi does: the number at its beginning, zero for anything else.
  const number = Number.parseInt(platform.environment['LLAMA_ATTN_ROT_DISABLE'] ?? '', 10);
  return number === 0 || Number.isNaN(number) ? 'on' : 'off';
}
