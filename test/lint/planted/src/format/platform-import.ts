import { machine } from '../platform/clean.ts';

export const format = machine;
