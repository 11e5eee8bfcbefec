import type { EngineContext } from './engine-job.ts';
import type { Configuration } from './equality-scene.ts';

type CacheType = NonNullable<EngineContext['experimentalKvCacheKeyType']>;

/** The two ends: attention whose results depend on batches, and attention whose results do not. */
export const endConfigurations: readonly [Configuration, Configuration] = [
  {
    name: 'flash attention, F16',
    model: 'micro',
    context: { flashAttention: true },
    regularBatchMin: 64,
  },
  {
    name: 'flash attention off, keys Q8_0',
    model: 'micro',
    context: { flashAttention: false, experimentalKvCacheKeyType: 'Q8_0' },
    regularBatchMin: 2,
  },
];

/** Every way of attention with plain KV, on both architectures. */
export const attentionConfigurations: readonly Configuration[] = [
  {
    name: 'llama, flash attention, F16',
    model: 'tiny',
    context: { flashAttention: true },
    regularBatchMin: 64,
  },
  {
    name: 'llama, flash attention off, F16',
    model: 'tiny',
    context: { flashAttention: false },
    regularBatchMin: 2,
  },
  {
    name: 'llama, flash attention auto, F16',
    model: 'tiny',
    context: { flashAttention: 'auto' },
    regularBatchMin: 64,
  },
  {
    name: 'qwen2, flash attention, F16',
    model: 'tiny-qwen2',
    context: { flashAttention: true },
    regularBatchMin: 64,
  },
];

/** Types of keys and values, each with the attention that can read them. */
export const typeConfigurations: readonly Configuration[] = [
  {
    name: 'flash attention, Q8_0',
    model: 'tiny',
    context: { flashAttention: true, ...cacheTypes('Q8_0') },
    regularBatchMin: 2,
  },
  {
    name: 'flash attention off, keys Q8_0, values F16',
    model: 'tiny',
    context: { flashAttention: false, ...cacheTypes('Q8_0', 'F16') },
    regularBatchMin: 2,
  },
  {
    name: 'flash attention, BF16',
    model: 'tiny',
    context: { flashAttention: true, ...cacheTypes('BF16') },
    regularBatchMin: 2,
  },
  {
    name: 'flash attention off, F32',
    model: 'tiny',
    context: { flashAttention: false, ...cacheTypes('F32') },
    regularBatchMin: 2,
  },
];

function cacheTypes(key: CacheType, value = key): EngineContext {
  return { experimentalKvCacheKeyType: key, experimentalKvCacheValueType: value };
}
