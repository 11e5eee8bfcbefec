import type { EngineContext } from './engine-job.ts';
import { describeEquality } from './equality-matrix.ts';
import type { Configuration } from './equality-scene.ts';

type CacheType = NonNullable<EngineContext['experimentalKvCacheKeyType']>;

/** Types of keys and values, each with the attention that can read them. */
const configurations: readonly Configuration[] = [
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

for (const configuration of configurations) describeEquality(configuration, 'all');

function cacheTypes(key: CacheType, value = key): EngineContext {
  return { experimentalKvCacheKeyType: key, experimentalKvCacheValueType: value };
}
