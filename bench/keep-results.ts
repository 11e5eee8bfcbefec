import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { renderDocuments } from './documents.ts';
import { resultPath, toJson } from './result-file.ts';
import type { ResultFile } from './result-file.ts';

/**
 * Keeps a result where those of other machines lie and, when asked, brings it into the documents: both or neither,
 * so that no page shows other figures than the file beside it. Gives the paths, the result's first.
 */
export async function keepResult(
  root: string,
  result: ResultFile,
  { isWriting }: { readonly isWriting: boolean },
): Promise<readonly string[]> {
  const documents = isWriting ? await renderDocuments(root, [result]) : new Map<string, string>();
  const files = [[resultPath(root, result), toJson(result)] as const, ...documents];
  const beside = (path: string): string => `${path}.new-${process.pid}`;
  try {
    for (const [path, text] of files) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(beside(path), text);
    }
    // From here on nothing is waited for: only what ends the process between two names could part them.
    for (const [path] of files) renameSync(beside(path), path);
  } finally {
    for (const [path] of files) rmSync(beside(path), { force: true });
  }
  return files.map(([path]) => path);
}
