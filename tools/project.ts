import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The clone's root: the tools run compiled, from `dist/tools`. */
export function projectRoot(): string {
  return resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
}
