import { describeEquality } from './equality-matrix.ts';
import type { Configuration } from './equality-scene.ts';

/** Every way of attention with plain KV, on both architectures. */
const configurations: readonly Configuration[] = [
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

for (const configuration of configurations) describeEquality(configuration, 'all');
