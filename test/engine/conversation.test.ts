import { describeChat, describeConversation } from './conversation-suite.ts';

const configuration = {
  name: 'flash attention, F16',
  model: 'micro',
  context: { flashAttention: true },
  regularBatchMin: 64,
} as const;

describeConversation(configuration);
describeChat(configuration);
