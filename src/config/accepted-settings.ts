import type { Setting } from './setting.ts';

/** Settings of the contract that this version does not obey. */
export const acceptedSettings: readonly Setting[] = [
  {
    name: 'WMBT_KV_NODE',
    kind: 'path',
    default: 'node on PATH',
    help: 'The Node that the C library starts.',
    readBy: ['library'],
    effect: 'accepted',
  },
  {
    name: 'WMBT_KV_STORE',
    kind: 'path',
    default: 'beside the library',
    help: 'The store program that the C library starts.',
    readBy: ['library'],
    effect: 'accepted',
  },
  {
    name: 'WMBT_KV_BLOCK_TOKENS',
    kind: 'count',
    default: '128',
    help: 'Tokens of a block, a multiple of 128. The engine (ds4) reads it itself.',
    readBy: ['engine'],
    effect: 'accepted',
  },
];
