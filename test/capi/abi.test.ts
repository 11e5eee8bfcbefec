import { withoutNative } from '../support/c-compiler.ts';
import { registerAbiTests } from './abi-suite.ts';

if (withoutNative() === false) registerAbiTests(['shm']);
registerAbiTests(['embedded']);
