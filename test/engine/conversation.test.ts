import { describeChat, describeConversation } from './conversation-suite.ts';

const configuration = {
  name: 'flash attention, F16',
  model: 'micro',
  context: { flashAttention: true },
  isChunkingFree: false,
} as const;

describeConversation(configuration);
describeChat(configuration);
