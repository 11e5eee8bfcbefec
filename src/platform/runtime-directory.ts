import type { Platform } from './platform.ts';

/** The directory of the sockets by which daemons are found, where none is set. */
export async function usualRuntimeDirectory(platform: Platform): Promise<string> {
  const { environment, files, host } = platform;
  const session = environment['XDG_RUNTIME_DIR'];
  if (session?.startsWith('/')) return `${session.replace(/\/+$/, '')}/wombatkv`;
  const common = '/run/wombatkv';
  if (host.userId === 0 || (await files.status(common))?.isOwn === true) return common;
  return `${host.temporaryDirectory}/wombatkv-${host.userId ?? 'user'}`;
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
