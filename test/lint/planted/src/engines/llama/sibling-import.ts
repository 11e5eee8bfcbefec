import { store } from '../../store/clean.ts';

export const engine = store;
