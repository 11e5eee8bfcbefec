import type { EngineContext } from './engine-job.ts';
import { describeEquality } from './equality-matrix.ts';
import type { Configuration } from './equality-scene.ts';

type CacheType = NonNullable<EngineContext['experimentalKvCacheKeyType']>;

const llama = { model: 'tiny', isChunkingFree: false } as const;

const configurations: readonly Configuration[] = [
  { ...llama, name: 'llama, flash attention, F16', context: { flashAttention: true } },
  {
    ...llama,
    name: 'llama, flash attention off, F16',
    context: { flashAttention: false },
    isChunkingFree: true,
  },
  {
    ...llama,
    name: 'llama, flash attention, Q8_0',
    context: { flashAttention: true, ...cacheTypes('Q8_0') },
    isChunkingFree: true,
  },
  {
    ...llama,
    name: 'llama, flash attention off, keys Q8_0, values F16',
    context: { flashAttention: false, ...cacheTypes('Q8_0', 'F16') },
    isChunkingFree: true,
  },
  { ...llama, name: 'llama, flash attention auto', context: { flashAttention: 'auto' } },
  {
    ...llama,
    name: 'qwen2, flash attention, F16',
    model: 'tiny-qwen2',
    context: { flashAttention: true },
  },
  {
    ...llama,
    name: 'llama, flash attention, BF16',
    context: { flashAttention: true, ...cacheTypes('BF16') },
  },
  {
    ...llama,
    name: 'llama, flash attention off, F32',
    context: { flashAttention: false, ...cacheTypes('F32') },
    isChunkingFree: true,
  },
];

for (const configuration of configurations) describeEquality(configuration, 'all');

function cacheTypes(key: CacheType, value = key): EngineContext {
  return { experimentalKvCacheKeyType: key, experimentalKvCacheValueType: value };
}
