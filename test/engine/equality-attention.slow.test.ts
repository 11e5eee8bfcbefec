import { attentionConfigurations } from './equality-configurations.ts';
import { describeEquality } from './equality-matrix.ts';

for (const configuration of attentionConfigurations) describeEquality(configuration, 'all');
