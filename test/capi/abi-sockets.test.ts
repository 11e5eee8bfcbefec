import { registerAbiTests } from './abi-suite.ts';

registerAbiTests(['unix', 'tcp']);
