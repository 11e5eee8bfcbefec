import { store } from '../store/clean.ts';

export const format = store;
