import type { FileStatus } from '../platform/files.ts';

/** The etag of an object by what its file is; undefined where there is none. */
export function etagOf(status: FileStatus | undefined): string | undefined {
  if (status === undefined) return undefined;
  return `${status.identity}-${status.byteLength}-${status.modifiedMs}`;
}
