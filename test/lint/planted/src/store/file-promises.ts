import { readFile } from 'fs/promises';

export const read = async (): Promise<Uint8Array> => readFile('name');
