/** How the numbers of a weight matrix are stored in the file. */
export type WeightType = 'F16' | 'Q8_0';

/** A model with random weights: its dimensions, and what makes its output worth comparing. */
export interface RandomModelSpec {
  /** Shown by engines as the model's name. */
  readonly name: string;
  readonly architecture: 'llama' | 'qwen2' | 'gemma3';
  readonly layers: number;
  readonly embeddingSize: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly feedForwardSize: number;
  /** At least 257: one token for each byte, and the end of text. */
  readonly vocabularySize: number;
  readonly contextTokensMax: number;
  readonly weightType: WeightType;
  /** True when the output matrix is the embedding matrix. */
  readonly isTied: boolean;
  readonly ropeBase: number;
  /** Tokens that a sliding-window layer looks back; 0 when there are no such layers. */
  readonly slidingWindowTokens: number;
  readonly gains: RandomModelGains;
  /** Other seeds give other weights; the same seed gives the same file, byte for byte. */
  readonly seed: number;
}

/**
 * Factors on the usual deviation of random weights, 1/√(inputs). With all at 1 a random model says
 * the same token for ever, whatever is in its KV cache, and every comparison of outputs passes.
 */
export interface RandomModelGains {
  /** On the query and key matrices: how sharply attention picks. */
  readonly queryKey: number;
  /** On the value and attention output matrices: how much attention counts. */
  readonly valueOutput: number;
  /** On the output matrix when it is one of its own: how far apart the best tokens are. */
  readonly output: number;
  /** The deviation of embeddings. Tied models need a small one, or each token repeats itself. */
  readonly embedding: number;
}

export type RandomModelName = 'micro' | 'tiny' | 'tiny-qwen2' | 'tiny-gemma3' | 'qwen2.5-0.5b';

const untiedGains: RandomModelGains = { queryKey: 1.6, valueOutput: 1.5, output: 3, embedding: 1 };

const tiny: RandomModelSpec = {
  name: 'tiny',
  architecture: 'llama',
  layers: 4,
  embeddingSize: 256,
  heads: 4,
  kvHeads: 2,
  feedForwardSize: 512,
  vocabularySize: 512,
  contextTokensMax: 8192,
  weightType: 'F16',
  isTied: false,
  ropeBase: 10_000,
  slidingWindowTokens: 0,
  gains: untiedGains,
  seed: 42,
};

/** Models for tests, demo and benchmarks. All have heads of 64 numbers, which quantised KV needs. */
export const randomModels: Readonly<Record<RandomModelName, RandomModelSpec>> = {
  /** Loads in milliseconds: for tests of state files. */
  micro: {
    ...tiny,
    name: 'micro',
    layers: 2,
    embeddingSize: 128,
    heads: 2,
    kvHeads: 1,
    feedForwardSize: 256,
    contextTokensMax: 4096,
  },
  /** For tests that compare what the model says. */
  tiny,
  'tiny-qwen2': { ...tiny, name: 'tiny-qwen2', architecture: 'qwen2' },
  /** Five of its six layers slide: its state files must be refused. */
  'tiny-gemma3': {
    ...tiny,
    name: 'tiny-gemma3',
    architecture: 'gemma3',
    layers: 6,
    slidingWindowTokens: 256,
  },
  /** The dimensions of Qwen2.5-0.5B: about 500 MB, and a prefill that costs what a real one does. */
  'qwen2.5-0.5b': {
    name: 'qwen2.5-0.5b',
    architecture: 'qwen2',
    layers: 24,
    embeddingSize: 896,
    heads: 14,
    kvHeads: 2,
    feedForwardSize: 4864,
    vocabularySize: 151_936,
    contextTokensMax: 32_768,
    weightType: 'Q8_0',
    isTied: true,
    ropeBase: 1_000_000,
    slidingWindowTokens: 0,
    // With the gains of the small models 24 layers average the prompt into a few repeated tokens.
    gains: { queryKey: 2.5, valueOutput: 1.5, output: 1, embedding: 0.05 },
    seed: 42,
  },
};

/** What a model file says about itself, in file order. */
export interface ModelDescription {
  readonly metadata: readonly MetadataEntry[];
  readonly tensors: readonly TensorDescription[];
}

export interface MetadataEntry {
  readonly key: string;
  readonly value: MetadataValue;
}

export type MetadataValue =
  | { readonly type: 'u32' | 'f32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'strings'; readonly values: readonly string[] }
  | { readonly type: 'i32s'; readonly values: readonly number[] };

export interface TensorDescription {
  readonly name: string;
  /** Numbers in a row, which is the size of the input; a whole number of quantised groups. */
  readonly columns: number;
  /** Undefined for a vector. */
  readonly rows: number | undefined;
  readonly content: TensorContent;
}

/**
 * Ones (stored as F32), or random numbers of a deviation. The silent row of a random matrix is zero.
 */
export type TensorContent =
  | { readonly kind: 'ones' }
  | {
      readonly kind: 'random';
      readonly type: WeightType;
      readonly deviation: number;
      readonly silentRow: number | undefined;
    };

/** The token that ends a text. Its output row is zero: greedy decoding never ends by chance. */
export const endOfTextToken = 256;

/**
 * The metadata and tensors of the model.
 *
 * @throws RangeError when the dimensions do not fit each other.
 */
export function describeModel(spec: RandomModelSpec): ModelDescription {
  checkDimensions(spec);
  const tensors = [embeddings(spec)];
  for (let layer = 0; layer < spec.layers; layer += 1) tensors.push(...layerTensors(spec, layer));
  tensors.push(ones('output_norm.weight', spec.embeddingSize));
  if (!spec.isTied) tensors.push(outputMatrix(spec));
  return { metadata: [...architectureEntries(spec), ...tokenizerEntries(spec)], tensors };
}

function checkDimensions(spec: RandomModelSpec): void {
  const { embeddingSize, feedForwardSize, heads, kvHeads, vocabularySize } = spec;
  if (embeddingSize % 64 !== 0 || feedForwardSize % 64 !== 0) {
    throw new RangeError(`sizes must be multiples of 64; got ${embeddingSize}, ${feedForwardSize}`);
  }
  if (embeddingSize % heads !== 0 || heads % kvHeads !== 0) {
    throw new RangeError(`${heads} heads with ${kvHeads} for KV do not divide ${embeddingSize}`);
  }
  if (vocabularySize <= endOfTextToken) {
    throw new RangeError(`vocabulary must have more than ${endOfTextToken}; got ${vocabularySize}`);
  }
}

function architectureEntries(spec: RandomModelSpec): MetadataEntry[] {
  const { architecture } = spec;
  const entries = [
    text('general.architecture', architecture),
    text('general.name', `random-${spec.name}`),
    whole(`${architecture}.context_length`, spec.contextTokensMax),
    whole(`${architecture}.embedding_length`, spec.embeddingSize),
    whole(`${architecture}.block_count`, spec.layers),
    whole(`${architecture}.feed_forward_length`, spec.feedForwardSize),
    whole(`${architecture}.attention.head_count`, spec.heads),
    whole(`${architecture}.attention.head_count_kv`, spec.kvHeads),
    real(`${architecture}.attention.layer_norm_rms_epsilon`, 1e-6),
    real(`${architecture}.rope.freq_base`, spec.ropeBase),
    whole(`${architecture}.vocab_size`, spec.vocabularySize),
  ];
  if (spec.slidingWindowTokens > 0) {
    entries.push(whole(`${architecture}.attention.sliding_window`, spec.slidingWindowTokens));
  }
  return entries;
}

/** A byte-level tokenizer whose merges join nothing: text becomes one token for each byte. */
function tokenizerEntries(spec: RandomModelSpec): MetadataEntry[] {
  const tokens = [...byteCharacters(), '<|endoftext|>'];
  while (tokens.length < spec.vocabularySize) tokens.push(`\u0120w${tokens.length}`);
  const normal = 1;
  const control = 3;
  const types = tokens.map((_, token) => (token === endOfTextToken ? control : normal));
  return [
    text('tokenizer.ggml.model', 'gpt2'),
    text('tokenizer.ggml.pre', 'gpt-2'),
    { key: 'tokenizer.ggml.tokens', value: { type: 'strings', values: tokens } },
    { key: 'tokenizer.ggml.token_type', value: { type: 'i32s', values: types } },
    // The key must be there, with an entry; these two bytes have no joint token.
    {
      key: 'tokenizer.ggml.merges',
      value: { type: 'strings', values: [`${tokens[0]} ${tokens[1]}`] },
    },
    whole('tokenizer.ggml.bos_token_id', endOfTextToken),
    whole('tokenizer.ggml.eos_token_id', endOfTextToken),
    { key: 'tokenizer.ggml.add_bos_token', value: { type: 'bool', value: false } },
  ];
}

/** GPT-2's printable stand-in for each byte: itself when printable, else one from U+0100 on. */
function byteCharacters(): string[] {
  let standIns = 0;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable =
      (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
    if (isPrintable) return String.fromCodePoint(byte);
    standIns += 1;
    return String.fromCodePoint(255 + standIns);
  });
}

function layerTensors(spec: RandomModelSpec, layer: number): TensorDescription[] {
  const { embeddingSize, feedForwardSize, gains } = spec;
  const headSize = embeddingSize / spec.heads;
  const kvSize = headSize * spec.kvHeads;
  const prefix = `blk.${layer}.`;
  const matrix = (name: string, gain: number, columns: number, rows: number): TensorDescription =>
    random(`${prefix}${name}.weight`, spec.weightType, { columns, rows, gain });
  const vector = (name: string, size: number): TensorDescription =>
    ones(`${prefix}${name}.weight`, size);
  const tensors = [
    vector('attn_norm', embeddingSize),
    matrix('attn_q', gains.queryKey, embeddingSize, embeddingSize),
    matrix('attn_k', gains.queryKey, embeddingSize, kvSize),
    matrix('attn_v', gains.valueOutput, embeddingSize, kvSize),
    matrix('attn_output', gains.valueOutput, embeddingSize, embeddingSize),
    vector('ffn_norm', embeddingSize),
    matrix('ffn_gate', 1, embeddingSize, feedForwardSize),
    matrix('ffn_up', 1, embeddingSize, feedForwardSize),
    matrix('ffn_down', 1, feedForwardSize, embeddingSize),
  ];
  if (spec.architecture === 'gemma3') {
    tensors.push(vector('attn_q_norm', headSize), vector('attn_k_norm', headSize));
    tensors.push(vector('post_attention_norm', embeddingSize));
    tensors.push(vector('post_ffw_norm', embeddingSize));
  }
  return tensors;
}

function embeddings(spec: RandomModelSpec): TensorDescription {
  return {
    name: 'token_embd.weight',
    columns: spec.embeddingSize,
    rows: spec.vocabularySize,
    content: {
      kind: 'random',
      type: spec.weightType,
      deviation: spec.gains.embedding,
      silentRow: spec.isTied ? endOfTextToken : undefined,
    },
  };
}

function outputMatrix(spec: RandomModelSpec): TensorDescription {
  return {
    name: 'output.weight',
    columns: spec.embeddingSize,
    rows: spec.vocabularySize,
    content: {
      kind: 'random',
      type: spec.weightType,
      deviation: spec.gains.output / Math.sqrt(spec.embeddingSize),
      silentRow: endOfTextToken,
    },
  };
}

function random(
  name: string,
  type: WeightType,
  { columns, rows, gain }: { columns: number; rows: number; gain: number },
): TensorDescription {
  const deviation = gain / Math.sqrt(columns);
  return {
    name,
    columns,
    rows,
    content: { kind: 'random', type, deviation, silentRow: undefined },
  };
}

function ones(name: string, columns: number): TensorDescription {
  return { name, columns, rows: undefined, content: { kind: 'ones' } };
}

function text(key: string, value: string): MetadataEntry {
  return { key, value: { type: 'string', value } };
}

function whole(key: string, value: number): MetadataEntry {
  return { key, value: { type: 'u32', value } };
}

function real(key: string, value: number): MetadataEntry {
  return { key, value: { type: 'f32', value } };
}
