import { hostname } from 'node:os';

export const name = (): string => hostname();
