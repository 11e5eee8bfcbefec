import type { Block } from '../blocks/clean.ts';

export type Sibling = Block;
