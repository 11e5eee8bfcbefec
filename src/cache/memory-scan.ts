import { join } from 'node:path';
import { viewOf } from '../base/bytes.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { Files, OpenFile } from '../platform/files.ts';
import {
  entriesStart,
  entryBytes,
  entryOffsets,
  offsetUnitBytes,
  ownerMarks,
} from '../platform/shared-memory.ts';
import { extentHeaderSkip } from './extent-header.ts';
import { ringDataStart, ringWords } from './ring-layout.ts';
import { isRingName, sharedPaths } from './shared-layout.ts';

/** An entry of an index that may be that of a payload which was accepted in memory and is not in the log. */
export interface HeldPlace {
  readonly segment: number;
  /** Of the extent, in bytes. */
  readonly offset: number;
  /** False for an entry that was being written: it counts when its extent says that it is whole. */
  readonly isCertain: boolean;
  /** The object store has the payload. */
  readonly isConfirmed: boolean;
  /** True when the payload begins where one does that was accepted in memory. */
  readonly hasHeader: boolean;
}

/** An index that cannot be read: of another version, cut off, or none. */
export class UnreadableIndex extends Error {}

/** Bytes of an index that are read at a time. */
const chunkBytes = 1024 * 1024;
const magic = 'WKVIDX1\0';
/** They look alike to whoever follows a store that died. */
const versions: readonly number[] = [1, 2, 3];
const entriesLog2Max = 30;

/**
 * The places in the index of a dead store that may hold what was accepted there and not put in the log. Plain reads:
 * whoever follows needs no native code. Of a store that lives it tells what was so at some moment of the scan.
 *
 * @throws UnreadableIndex when the file is no index of this version; the system's error when it cannot be read.
 */
export async function* scanIndex(files: Files, directory: string): AsyncGenerator<HeldPlace> {
  const file = await openIndex(files, directory);
  try {
    const end = entriesStart + (await entryCount(file)) * entryBytes;
    const chunk = new Uint8Array(Math.min(chunkBytes, end - entriesStart));
    for (let at = entriesStart; at < end; at += chunk.length) {
      const bytes = chunk.subarray(0, Math.min(chunk.length, end - at));
      if ((await file.read(bytes, at)) < bytes.length) throw new UnreadableIndex('it is cut off');
      yield* heldIn(bytes);
    }
  } finally {
    await file.close();
  }
}

/** True when the index of a dead store, or a ring, may show something that lies nowhere else. */
export async function mayHoldPending(files: Files, directory: string): Promise<boolean> {
  for (const { name } of await files.list(directory)) {
    if (isRingName(name) && (await hasNews(files, join(directory, name)))) return true;
  }
  for await (const place of scanIndex(files, directory)) {
    if (!place.isConfirmed && (place.isCertain || place.hasHeader)) return true;
  }
  return false;
}

async function hasNews(files: Files, ring: string): Promise<boolean> {
  const header = await readStart(files, ring, ringDataStart);
  if (header.length < ringDataStart) return true;
  const view = viewOf(header);
  return view.getUint32(ringWords.head, true) !== view.getUint32(ringWords.tail, true);
}

/** So many bytes of the beginning, or as many as there are. */
async function readStart(files: Files, path: string, byteLength: number): Promise<Uint8Array> {
  const file = await files.open(path, 'read');
  try {
    const bytes = new Uint8Array(byteLength);
    return bytes.subarray(0, await file.read(bytes, 0));
  } finally {
    await file.close();
  }
}

async function openIndex(files: Files, directory: string): Promise<OpenFile> {
  try {
    return await files.open(sharedPaths.index(directory), 'read');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw new UnreadableIndex('it is gone');
    throw error;
  }
}

async function entryCount(file: OpenFile): Promise<number> {
  const header = new Uint8Array(16);
  const read = await file.read(header, 0);
  const view = viewOf(header);
  const log2 = view.getUint32(12, true);
  const isIndex =
    read === header.length &&
    new TextDecoder('latin1').decode(header.subarray(0, 8)) === magic &&
    versions.includes(view.getUint32(8, true)) &&
    log2 <= entriesLog2Max &&
    (await file.byteLength()) === entriesStart + 2 ** log2 * entryBytes;
  if (!isIndex) throw new UnreadableIndex('it is no index of this version');
  return 2 ** log2;
}

/** The same in whole entries, one after the other. */
export function heldIn(bytes: Uint8Array): readonly HeldPlace[] {
  const found: HeldPlace[] = [];
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length; at += entryBytes) {
    const high = view.getUint32(at + entryOffsets.location + 4, true);
    // Bit 63: valid.
    if (high >>> 31 === 0) continue;
    const isOdd = (view.getUint32(at + entryOffsets.sequence, true) & 1) !== 0;
    const owner = view.getUint32(at + entryOffsets.owner, true);
    const isHeld = (owner & ownerMarks.held) !== 0;
    const hasHeader = ((high >>> 24) & 127) === extentHeaderSkip;
    if (!isHeld && !(isOdd && hasHeader)) continue;
    const units = view.getUint32(at + entryOffsets.location, true) + (high & 255) * 2 ** 32;
    found.push({
      segment: (high >>> 8) & 0xffff,
      offset: units * offsetUnitBytes,
      isCertain: isHeld && !isOdd,
      isConfirmed: !isOdd && (owner & ownerMarks.confirmed) !== 0,
      hasHeader,
    });
  }
  return found;
}
