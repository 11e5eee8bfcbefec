import { one } from '../index.ts';

export const two = one + one;
