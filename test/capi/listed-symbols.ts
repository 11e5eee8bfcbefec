import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../tools/project.ts';

/** The names in the symbol list of the C library, sorted. */
export function listedSymbols(): readonly string[] {
  const map = readFileSync(join(projectRoot(), 'capi/wombatkv.map'), 'utf8');
  return Array.from(map.matchAll(/^ {4}(wmbt_\w+);$/gm), ([, name]) => name).sort();
}

/** Names in the output of `nm --format=posix`, sorted. */
export function symbolsIn(text: string): readonly string[] {
  const lines = text.split('\n').filter((line) => /^\w+ [A-Z] /.test(line));
  return lines.map((line) => line.split(' ')[0]).sort();
}
