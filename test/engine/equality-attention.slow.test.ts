import { describeEquality } from './equality-matrix.ts';
import type { Configuration } from './equality-scene.ts';

/** Every way of attention with plain KV, on both architectures. */
const configurations: readonly Configuration[] = [
  {
    name: 'llama, flash attention, F16',
    model: 'tiny',
    context: { flashAttention: true },
    isChunkingFree: false,
  },
  {
    name: 'llama, flash attention off, F16',
    model: 'tiny',
    context: { flashAttention: false },
    isChunkingFree: true,
  },
  {
    name: 'llama, flash attention auto, F16',
    model: 'tiny',
    context: { flashAttention: 'auto' },
    isChunkingFree: false,
  },
  {
    name: 'qwen2, flash attention, F16',
    model: 'tiny-qwen2',
    context: { flashAttention: true },
    isChunkingFree: false,
  },
];

for (const configuration of configurations) describeEquality(configuration, 'all');
