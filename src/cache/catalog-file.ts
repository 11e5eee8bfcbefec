import { join } from 'node:path';
import { viewOf } from '../base/bytes.ts';
import { systemErrorCode } from '../base/errors.ts';
import {
  catalogFileLength,
  catalogHeadLength,
  catalogPreludeBytes,
  decodeCatalogHead,
  encodeCatalogHead,
  isShardLength,
  shardChecksum,
} from '../format/catalog-snapshot.ts';
import type { CatalogHead, CatalogSnapshot } from '../format/catalog-snapshot.ts';
import type { Files, OpenFile } from '../platform/files.ts';

/** The file in a place of the cache directory, and the object store that it is about. */
export interface CatalogPlace {
  readonly files: Files;
  /** The sub-directory that the process owns. */
  readonly directory: string;
  readonly storeDigest: Uint8Array;
}

/** `foreign`: of another object store, version or processor. `damaged`: it fails its checksums. */
export type NoSnapshot = 'absent' | 'foreign' | 'damaged';

/** Where it lies. */
export function catalogPath(directory: string): string {
  return join(directory, 'catalog');
}

function temporaryPath(directory: string): string {
  return `${catalogPath(directory)}.tmp`;
}

/**
 * Writes what the catalog believes, in place of what an earlier process believed, unless that takes more
 * than so many bytes; then the file is removed. Who reads finds one or the other, whole. Resolves to the
 * bytes written.
 *
 * Errors are those of the system.
 */
export async function writeCatalogFile(
  { files, directory, storeDigest }: CatalogPlace,
  snapshot: CatalogSnapshot,
  byteLengthMax: number,
): Promise<number> {
  const path = catalogPath(directory);
  const head = encodeCatalogHead(snapshot, storeDigest);
  const words = snapshot.shards.map(({ length }) => length);
  const byteLength = head === undefined ? Infinity : catalogFileLength(head.length, words);
  if (head === undefined || byteLength > byteLengthMax) {
    await files.remove(path);
    return 0;
  }
  const crc = viewOf(head).getUint32(head.length - 4, true);
  const buffers = [head];
  for (const [index, shard] of snapshot.shards.entries()) {
    const bytes = bytesOf(shard);
    const end = new Uint8Array(4);
    viewOf(end).setUint32(0, shardChecksum({ crc }, index, bytes), true);
    buffers.push(bytes, end);
  }
  const temporary = temporaryPath(directory);
  try {
    const file = await files.open(temporary, 'create-or-replace');
    try {
      await file.write(buffers, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await files.rename(temporary, path);
  } catch (error) {
    await files.remove(temporary);
    throw error;
  }
  return byteLength;
}

/**
 * Reads what an earlier process wrote, and removes what one left that was killed as it wrote. Errors are
 * those of the system.
 */
export async function readCatalogFile(place: CatalogPlace): Promise<CatalogSnapshot | NoSnapshot> {
  await place.files.remove(temporaryPath(place.directory));
  const shards: Int32Array[] = [];
  const head = await walk(place, (shard) => shards.push(shard));
  if (typeof head === 'string') return head;
  return { mix: head.mix, shards, owners: head.owners };
}

/** What can be said of the file: its length when it is sound. */
export async function checkCatalogFile(place: CatalogPlace): Promise<number | NoSnapshot> {
  const head = await walk(place, () => undefined);
  if (typeof head === 'string') return head;
  return head.byteLength;
}

/** Reads the file to its end, one shard at a time. */
async function walk(
  { files, directory, storeDigest }: CatalogPlace,
  onShard: (shard: Int32Array) => void,
): Promise<(CatalogHead & { readonly byteLength: number }) | NoSnapshot> {
  let file: OpenFile;
  try {
    file = await files.open(catalogPath(directory), 'read');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'absent';
    throw error;
  }
  try {
    const byteLength = await file.byteLength();
    const found = await readHead(file, storeDigest);
    if (typeof found === 'string') return found;
    const { head } = found;
    // Before memory is taken by what the head says.
    const expected = catalogFileLength(found.headBytes, head.shardWords);
    if (byteLength !== expected || !head.shardWords.every(isShardLength)) return 'damaged';
    let at = found.headBytes;
    for (const [index, words] of head.shardWords.entries()) {
      const shard = new Int32Array(words);
      if (!(await readShard(file, at, { head, index, shard }))) return 'damaged';
      onShard(shard);
      at += shard.byteLength + 4;
    }
    return { ...head, byteLength };
  } finally {
    await file.close();
  }
}

async function readHead(
  file: OpenFile,
  storeDigest: Uint8Array,
): Promise<{ readonly head: CatalogHead; readonly headBytes: number } | 'foreign' | 'damaged'> {
  const prelude = new Uint8Array(catalogPreludeBytes);
  const preludeBytes = await file.read(prelude, 0);
  const headBytes = catalogHeadLength(prelude.subarray(0, preludeBytes));
  if (headBytes === undefined) return 'damaged';
  const bytes = new Uint8Array(headBytes);
  if ((await file.read(bytes, 0)) < headBytes) return 'damaged';
  const head = decodeCatalogHead(bytes, storeDigest);
  return typeof head === 'string' ? head : { head, headBytes };
}

/** False when its bytes are not those that were written there. */
async function readShard(
  file: OpenFile,
  at: number,
  { head, index, shard }: { head: CatalogHead; index: number; shard: Int32Array },
): Promise<boolean> {
  const bytes = bytesOf(shard);
  const end = new Uint8Array(4);
  if ((await file.read(bytes, at)) < bytes.length) return false;
  if ((await file.read(end, at + bytes.length)) < end.length) return false;
  return viewOf(end).getUint32(0, true) === shardChecksum(head, index, bytes);
}

function bytesOf({ buffer, byteOffset, byteLength }: Int32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
