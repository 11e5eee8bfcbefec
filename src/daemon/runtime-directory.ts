import { StoreError } from '../base/errors.ts';
import type { Files } from '../platform/files.ts';

/**
 * Checks the directory in which daemons are found, and makes it when it is absent. Whoever can write
 * there can pass for the daemon, so it belongs to this user and to nobody else.
 *
 * @throws StoreError `INVALID` when it is another's or open to others.
 */
export async function prepareRuntimeDirectory(files: Files, path: string): Promise<void> {
  await files.makeDirectory(path);
  const status = await files.status(path);
  if (status?.kind !== 'directory') {
    throw new StoreError('INVALID', `runtime directory ${path} is no directory`);
  }
  if (status.isOwn === false) {
    throw new StoreError('INVALID', `runtime directory ${path} belongs to another user`);
  }
  const { permissions = 0o700 } = status;
  if ((permissions & 0o077) !== 0) {
    const mode = permissions.toString(8).padStart(4, '0');
    throw new StoreError(
      'INVALID',
      `runtime directory ${path} has mode ${mode}; it must be open to its owner alone (0700)`,
    );
  }
}
