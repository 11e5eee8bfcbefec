import { one } from '../../base/clean.ts';
import type { Block } from '../../blocks/clean.ts';

export function blockOfOne(): Block {
  return { length: one };
}
