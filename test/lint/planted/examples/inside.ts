import { one } from '../src/base/clean.ts';

console.log(one);
