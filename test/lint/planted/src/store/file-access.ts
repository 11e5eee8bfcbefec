import { readFileSync } from 'node:fs';

export const read = (): Uint8Array => readFileSync('name');
