import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemErrorCode } from '../base/errors.ts';
import type { Files } from '../platform/files.ts';

const packageBytesMax = 64 * 1024;

/** The version in the package.json that this program belongs to: the nearest one above it. */
export async function packageVersion(files: Files): Promise<string> {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (dirname(directory) !== directory) {
    directory = dirname(directory);
    const version = await versionIn(files, join(directory, 'package.json'));
    if (version !== undefined) return version;
  }
  return 'unknown';
}

async function versionIn(files: Files, path: string): Promise<string | undefined> {
  try {
    const text = new TextDecoder().decode(await files.readSmall(path, packageBytesMax));
    const fields: unknown = JSON.parse(text);
    const isOurs = typeof fields === 'object' && fields !== null && 'version' in fields;
    return isOurs ? String(fields.version) : undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
