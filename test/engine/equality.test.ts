import { describeEquality } from './equality-matrix.ts';

/** The two ends: attention whose results depend on batches, and attention whose results do not. */
describeEquality(
  {
    name: 'flash attention, F16',
    model: 'micro',
    context: { flashAttention: true },
    regularBatchMin: 64,
  },
  'main',
);
describeEquality(
  {
    name: 'flash attention off, keys Q8_0',
    model: 'micro',
    context: { flashAttention: false, experimentalKvCacheKeyType: 'Q8_0' },
    regularBatchMin: 2,
  },
  'short',
);
