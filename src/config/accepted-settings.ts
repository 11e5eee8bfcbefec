import type { Setting } from './setting.ts';

/** Settings of the contract that the store does not obey: others read them. */
export const acceptedSettings: readonly Setting[] = [
  {
    name: 'WMBT_KV_NODE',
    kind: 'path',
    default: 'node on PATH',
    help:
      'The Node (20 or newer) that runs a store which the C library starts: a path, or the name of a ' +
      'program on `PATH`.',
    readBy: ['library'],
    effect: 'c-library',
  },
  {
    name: 'WMBT_KV_STORE',
    kind: 'path',
    default: 'beside the library',
    help:
      'The program of that store. The build of the library puts `wombatkv/store.cjs` beside it; of a ' +
      'package it is `dist/src/cli/store-main.js`.',
    readBy: ['library'],
    effect: 'c-library',
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
