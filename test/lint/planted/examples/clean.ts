import { one } from '../src/index.ts';

console.log(one);
