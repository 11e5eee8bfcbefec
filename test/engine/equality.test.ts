import { endConfigurations } from './equality-configurations.ts';
import { describeEquality } from './equality-matrix.ts';

const [dependent, independent] = endConfigurations;
describeEquality(dependent, 'main');
describeEquality(independent, 'short');
