import { one } from '../base/clean.ts';

export const two = one + one;
