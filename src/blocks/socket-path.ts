import { StoreError } from '../base/errors.ts';

/** What the prefix of a daemon may be. */
const prefixPattern = /^[\w.-]{1,64}$/;

/**
 * The socket of the daemon with that prefix.
 *
 * @throws StoreError `INVALID` for a prefix that is none.
 */
export function socketPathOf(runtimeDirectory: string, prefix: string): string {
  if (!prefixPattern.test(prefix) || prefix === '.' || prefix === '..') {
    const shown = JSON.stringify(prefix.slice(0, 80));
    throw new StoreError(
      'INVALID',
      `prefix must be 1 to 64 letters, digits, dots, underscores or hyphens; got ${shown}`,
    );
  }
  return `${runtimeDirectory}/${prefix}.sock`;
}

/** The file beside a daemon's socket that names the directory of its shared memory. */
export function announcementOf(socketPath: string): string {
  return `${socketPath}.shm`;
}
