import { join } from 'node:path';
import type { Files } from '../platform/files.ts';

/** Removes the directory with all that is in it. Links are removed, not followed. */
export async function removeTree(files: Files, path: string): Promise<void> {
  for (const { name, kind } of await files.list(path)) {
    const inner = join(path, name);
    if (kind === 'directory') await removeTree(files, inner);
    else await files.remove(inner);
  }
  await files.removeDirectory(path);
}
