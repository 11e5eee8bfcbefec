import { Block } from './clean.ts';

export const empty: Block = { length: 0 };
