import { describeChat, describeConversation } from './conversation-suite.ts';
import type { Configuration } from './equality-scene.ts';

const configurations: readonly Configuration[] = [
  {
    name: 'flash attention off, F16',
    model: 'tiny',
    context: { flashAttention: false },
    regularBatchMin: 2,
  },
  {
    name: 'qwen2, flash attention, Q8_0',
    model: 'tiny-qwen2',
    context: {
      flashAttention: true,
      experimentalKvCacheKeyType: 'Q8_0',
      experimentalKvCacheValueType: 'Q8_0',
    },
    regularBatchMin: 2,
  },
];

for (const configuration of configurations) {
  describeConversation(configuration);
  describeChat(configuration);
}
