import { randomBytes } from 'node:crypto';

export const bytes = (): Uint8Array => randomBytes(8);
