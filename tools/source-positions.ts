import { existsSync, readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import type { SourceMapPayload } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `file:///x/dist/y.js:12:34`, or the same as a path. */
const position = /(file:\/\/)?(\/[^\s:()]+\.js):(\d+):(\d+)/g;

/**
 * The text with positions in compiled files as positions in their sources. Node does this too, with
 * `--enable-source-maps`, for every stack that anybody looks at: that is up to a third of the time of
 * tests in which much fails on purpose. Only what is printed needs it.
 */
export function inSources(text: string): string {
  const maps = new Map<string, SourceMap | undefined>();
  return text.replace(position, (found, scheme: string | undefined, name: string, ...rest) => {
    const path = scheme === undefined ? name : fileURLToPath(`${scheme}${name}`);
    if (!maps.has(path)) maps.set(path, mapOf(path));
    const [line, column] = rest.slice(0, 2).map(Number);
    const entry = maps.get(path)?.findEntry(line - 1, column - 1);
    if (entry === undefined || !('originalSource' in entry)) return found;
    const source = resolve(dirname(path), entry.originalSource);
    return `${source}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
  });
}

function mapOf(path: string): SourceMap | undefined {
  if (!existsSync(`${path}.map`)) return undefined;
  const payload: SourceMapPayload = JSON.parse(readFileSync(`${path}.map`, 'utf8'));
  return new SourceMap(payload);
}
