import { LogSegment, lookAtSegment } from './log-segment.ts';
import type { SegmentOptions } from './log-segment.ts';
import type { SegmentLook } from './segment-header.ts';
import { saltInIndex } from './segment-index.ts';

/** A file that is named like a segment. */
export interface OpenedSegment {
  readonly look: SegmentLook;
  /** The segment, when its records can be read: also where its header is damaged. */
  readonly segment: LogSegment | undefined;
}

/**
 * Opens a segment of an earlier process. Of one whose header is damaged the records say enough to be
 * read, and its index file helps. The directory must be this store's.
 */
export async function openSegment(options: SegmentOptions): Promise<OpenedSegment> {
  const segment = await LogSegment.open(options);
  if (segment !== undefined) return { look: 'own', segment };
  const look = await lookAtSegment(options);
  if (look !== 'damaged') return { look, segment: undefined };
  const indexSalt = await saltInIndex(options);
  return { look, segment: await LogSegment.openDamaged({ ...options, indexSalt }) };
}
