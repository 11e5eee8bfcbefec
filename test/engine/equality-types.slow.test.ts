import { typeConfigurations } from './equality-configurations.ts';
import { describeEquality } from './equality-matrix.ts';

for (const configuration of typeConfigurations) describeEquality(configuration, 'all');
