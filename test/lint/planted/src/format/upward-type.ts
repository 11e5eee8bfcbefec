import type { store } from '../store/clean.ts';

export type Format = typeof store;
