import { StoreError } from '../base/errors.ts';
import type { Platform } from './platform.ts';

/** Bits of permissions by which others than the owner write. */
const othersWrite = 0o022;

/**
 * The directory of the sockets by which daemons are found, where none is set.
 *
 * @throws StoreError `INVALID` when it would lie in the temporary directory and is another user's there: whoever made it
 *   would be shown the tokens of clients.
 */
export async function usualRuntimeDirectory(platform: Platform): Promise<string> {
  const { environment, files, host } = platform;
  const session = environment['XDG_RUNTIME_DIR'];
  if (session?.startsWith('/')) return `${session.replace(/\/+$/, '')}/wombatkv`;
  const common = '/run/wombatkv';
  if (host.userId === 0 || (await files.status(common))?.isOwn === true) return common;
  const own = `${host.temporaryDirectory}/wombatkv-${host.userId ?? 'user'}`;
  const status = await files.status(own);
  if (status === undefined) return own;
  const { kind, isOwn, permissions = 0 } = status;
  if (kind === 'directory' && isOwn !== false && (permissions & othersWrite) === 0) return own;
  throw new StoreError(
    'INVALID',
    `${own} is not a directory of this user's alone; remove it, or set WMBT_KV_RUNTIME_DIR to one that is`,
  );
}

/**
 * A path as settings name it: absolute, or below the home directory by `~/`; without slashes at its
 * end. Undefined for anything else.
 */
export function pathOfSetting(text: string, homeDirectory: string): string | undefined {
  const isOfHome = text === '~' || text.startsWith('~/');
  const path = isOfHome ? `${homeDirectory}${text.slice(1)}` : text;
  if (!path.startsWith('/') || path.includes('\0')) return undefined;
  return path.replace(/(?<=.)\/+$/, '');
}
