import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory that holds package.json, found from wherever this file was compiled to. */
export function packageRoot(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above ${import.meta.dirname}`);
    directory = parent;
  }
  return directory;
}

/** The absolute path of something in test/golden. */
export function goldenPath(...parts: readonly string[]): string {
  return join(packageRoot(), 'test', 'golden', ...parts);
}

/** The bytes of a golden file, in memory of their own. */
export function goldenBytes(...parts: readonly string[]): Uint8Array {
  return Uint8Array.from(readFileSync(goldenPath(...parts)));
}

/** The text of a golden file. */
export function goldenText(...parts: readonly string[]): string {
  return readFileSync(goldenPath(...parts), 'utf8');
}

/** Paths of all files below a golden folder, relative to it, joined by `/`, in byte order. */
export function goldenFiles(folder: string): string[] {
  const root = goldenPath(folder);
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(root, path)).isFile())
    .map((path) => path.replaceAll('\\', '/'))
    .sort();
}
