import type { Files } from '../platform/files.ts';
import { encodeRecord } from './log-record.ts';
import { scanRecords } from './log-recovery.ts';
import type { LogSegment } from './log-segment.ts';
import {
  decodeIndex,
  indexPath,
  isCheckedIndex,
  readIndexBytes,
  SegmentIndexBuilder,
  writeIndex,
} from './segment-index.ts';

/**
 * What the index file of a segment is.
 *
 * - `sound`: one of exactly this segment. - `absent`: there is none, as of most small ones.
 * - `unfinished`: the beginning of the one that the segment should have, as a crash leaves it, or as
 * it is while it is written. - `outdated`: a whole one, of the segment when it had another length.
 * - `damaged`: anything else.
 */
export type IndexLook = 'sound' | 'absent' | 'unfinished' | 'outdated' | 'damaged';

/** Compares the index file of the segment with the segment. Changes nothing. */
export async function lookAtIndex(
  files: Files,
  segment: LogSegment,
  storeDigest: Uint8Array,
): Promise<IndexLook> {
  const bytes = await readIndexBytes(files, segment);
  if (bytes === 'absent') return 'absent';
  if (bytes === 'unreadable') return 'damaged';
  if (decodeIndex(bytes, segment, storeDigest) !== undefined) return 'sound';
  if (isCheckedIndex(bytes)) return 'outdated';
  const expected = (await rebuild(segment))?.encode(storeDigest);
  const isBeginning =
    expected !== undefined &&
    bytes.length < expected.length &&
    bytes.every((byte, index) => byte === expected[index]);
  return isBeginning ? 'unfinished' : 'damaged';
}

/**
 * Replaces the index file of a segment that nobody writes to. One that cannot be made again, or
 * would not pay, is removed: the segment is scanned, then.
 */
export async function mendIndex(
  files: Files,
  segment: LogSegment,
  storeDigest: Uint8Array,
): Promise<'rebuilt' | 'removed'> {
  const builder = await rebuild(segment);
  if (builder?.isWorthwhile === true) {
    await writeIndex(files, builder, storeDigest);
    return 'rebuilt';
  }
  await files.remove(indexPath(segment));
  return 'removed';
}

/** The index of what the segment holds; undefined when there are bytes in it that are no record. */
async function rebuild(segment: LogSegment): Promise<SegmentIndexBuilder | undefined> {
  const { records, isWhole } = await scanRecords(segment);
  if (!isWhole) return undefined;
  const builder = new SegmentIndexBuilder(segment);
  const { number, seed } = segment;
  for (const { record, offset } of records) {
    builder.add(encodeRecord(record, { segment: number, offset, seed }));
  }
  return builder.hasAll ? builder : undefined;
}
