import { join } from 'node:path';
import { one } from '../base/clean.ts';
import type { Block } from '../blocks/clean.ts';
import { machine } from '../platform/clean.ts';

/** Sees every layer below. */
export async function store(block: Block): Promise<string> {
  await machine();
  return join('blocks', String(block.length + one));
}
