import { assert } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Files } from '../platform/files.ts';
import type { Random } from '../platform/random.ts';
import { lookAtIndex } from './index-check.ts';
import { encodeRecord, headerLength, recordAlignment, recordLength } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import { recoverLog } from './log-recovery.ts';
import type { RecoveredLog } from './log-recovery.ts';
import { LogSegment, segmentName, segmentNumber } from './log-segment.ts';
import { openSegment } from './open-segment.ts';
import {
  indexName,
  indexNumber,
  indexPath,
  readIndex,
  SegmentIndexBuilder,
  writeIndex,
} from './segment-index.ts';

/** Where a payload lies in the log. */
export interface DiskLocation {
  readonly segment: LogSegment;
  readonly offset: number;
  readonly length: number;
  readonly crc: number;
}

/** A record to append and the bytes that belong to it. */
export interface LogAppend {
  readonly record: LogRecord;
  readonly payload: Uint8Array;
}

export interface DiskLogOptions {
  readonly files: Files;
  readonly random: Random;
  /** The directory, which this process owns. */
  readonly directory: string;
  readonly budgetBytes: number;
  /** 32 bytes that name the object store; segments of another one are not touched. */
  readonly storeDigest: Uint8Array;
  /** Told of an index file that could not be written: its segment will be scanned. */
  readonly onIndexFailure?: ((path: string, error: unknown) => void) | undefined;
}

/** A log, and what was found in its directory. */
export interface OpenedLog {
  readonly log: DiskLog;
  readonly recovered: RecoveredLog;
  /** Segments whose headers fail their check. */
  readonly damagedSegments: readonly DamagedHeader[];
  /** Index files that were damaged; their segments were scanned. */
  readonly damagedIndexes: readonly string[];
}

/** A file named like a segment whose header fails its check. */
export interface DamagedHeader {
  readonly path: string;
  /** True when its records were found all the same; else it is not touched. */
  readonly isRead: boolean;
}

/** Most segments of a budget, so that open files stay few. */
const segmentsMax = 64;
const zeros = new Uint8Array(recordAlignment);

/**
 * The disk tier's record log: append-only segment files. A payload that was appended survives the
 * death of the process, for the operating system holds what was written; no sync is made, so a
 * power loss may take the end. One batch is written at a time, so that a torn write can only be the
 * last thing in its segment.
 */
export class DiskLog {
  readonly #options: DiskLogOptions;
  /** Oldest first. The last one is appended to when `#isOpenForAppend`. */
  readonly #segments: LogSegment[];
  #isOpenForAppend = false;
  #isClosed = false;
  #nextNumber: number;
  #lastAppend: Promise<unknown> = Promise.resolve();
  /** Headers of the segment that is appended to, or was until now. */
  #builder: SegmentIndexBuilder | undefined;
  /** Index files that are being written. */
  readonly #indexing = new Map<LogSegment, Promise<void>>();
  /** Bytes of index files, by segment; those of the last one are not written yet. */
  readonly #indexBytes: Map<LogSegment, number>;

  private constructor(options: DiskLogOptions, found: FoundSegments, nextNumber: number) {
    this.#options = options;
    this.#segments = found.segments;
    this.#indexBytes = found.indexBytes;
    this.#nextNumber = nextNumber;
  }

  /** Opens the log of the directory and tells what earlier processes left in it. */
  static async open(options: DiskLogOptions): Promise<OpenedLog> {
    const { files, directory, storeDigest } = options;
    const names = (await files.list(directory)).map(({ name }) => name);
    const numbers = numbersOf(names, segmentNumber);
    const indexed = new Set(numbersOf(names, indexNumber));
    const segments: LogSegment[] = [];
    const indexBytes = new Map<LogSegment, number>();
    const damagedSegments: DamagedHeader[] = [];
    const damagedIndexes: string[] = [];
    try {
      await removeOrphans(options, indexed, new Set(numbers));
      for (const number of numbers) {
        const path = `${directory}/${segmentName(number)}`;
        const place = { files, path, number, storeDigest };
        const { segment, look } = await openSegment(place);
        // A header cut off by a crash holds no record yet; anything else is not ours to remove.
        if (look === 'short') await files.remove(path);
        if (look === 'damaged') damagedSegments.push({ path, isRead: segment !== undefined });
        if (segment !== undefined) segments.push(segment);
      }
      const recovered = await recoverLog(segments, async (segment) => {
        if (!indexed.has(segment.number)) return undefined;
        const index = await readIndex(files, segment, storeDigest);
        if (index !== undefined) {
          indexBytes.set(segment, index.byteLength);
          return index.records;
        }
        const path = indexPath(segment);
        if ((await lookAtIndex(files, segment, storeDigest)) === 'damaged')
          damagedIndexes.push(path);
        // Of no use to anybody: it would count against the budget until its segment goes.
        await removeIfPossible(files, path);
        return undefined;
      });
      const log = new DiskLog(options, { segments, indexBytes }, (numbers.at(-1) ?? 0) + 1);
      return { log, recovered, damagedSegments, damagedIndexes };
    } catch (error) {
      await Promise.all(segments.map((segment) => segment.close()));
      throw error;
    }
  }

  /** Bytes of all segments and their index files. */
  get byteLength(): number {
    let sum = 0;
    for (const byteLength of this.#indexBytes.values()) sum += byteLength;
    for (const segment of this.#segments) sum += segment.byteLength;
    return sum;
  }

  /** Size at which a segment is sealed: small budgets get small segments. */
  get segmentBytes(): number {
    const { budgetBytes } = this.#options;
    return Math.max(Math.min(limits.segmentBytes, budgetBytes / 8), budgetBytes / segmentsMax);
  }

  /** The segment to drop next: the oldest one that is no longer appended to. */
  get oldestSealed(): LogSegment | undefined {
    return this.#segments.length > (this.#isOpenForAppend ? 1 : 0) ? this.#segments[0] : undefined;
  }

  /** Seals the segment that is appended to, so that it can be dropped. */
  seal(): void {
    this.#isOpenForAppend = false;
  }

  /**
   * Writes the records in the order given and resolves to where their payloads lie. Either all are
   * accepted, or the call rejects with the system's error and none counts.
   *
   * @throws StoreError `CLOSED` after close: the directory may have another owner by then.
   */
  append(batch: readonly LogAppend[]): Promise<readonly DiskLocation[]> {
    if (this.#isClosed) {
      return Promise.reject(new StoreError('CLOSED', 'the log of the disk tier is closed'));
    }
    const result = this.#lastAppend.then(() => this.#appendNow(batch));
    this.#lastAppend = result.catch(() => undefined);
    return result;
  }

  /** Reads the payload; false when its bytes are not those that were written. */
  static async read(location: DiskLocation, into: Uint8Array): Promise<boolean> {
    assert(into.length === location.length, `read of ${into.length} for ${location.length} bytes`);
    const isWhole = await location.segment.read(into, location.offset);
    return isWhole && crc32c(into) === location.crc;
  }

  /** Removes the oldest sealed segment. Reads under way still end well. */
  async dropOldest(): Promise<void> {
    const segment = this.oldestSealed;
    assert(segment !== undefined, 'no sealed segment to drop');
    if (this.#builder?.segment === segment) this.#builder = undefined;
    await this.#indexing.get(segment);
    this.#segments.shift();
    this.#indexBytes.delete(segment);
    await this.#options.files.remove(indexPath(segment));
    await this.#options.files.remove(segment.path);
    await segment.close();
  }

  /** Waits for the last append and closes the files. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#lastAppend;
    this.#beginIndex();
    await Promise.all(this.#indexing.values());
    await Promise.all(this.#segments.splice(0).map((segment) => segment.close()));
  }

  async #appendNow(batch: readonly LogAppend[]): Promise<readonly DiskLocation[]> {
    const locations: DiskLocation[] = [];
    let start = 0;
    while (start < batch.length) {
      const segment = await this.#segmentForAppend();
      const room = Math.max(this.segmentBytes - segment.byteLength, 1);
      const end = countThatFits(batch, start, room);
      locations.push(...(await this.#writeTo(segment, batch.slice(start, end))));
      start = end;
    }
    return locations;
  }

  async #writeTo(segment: LogSegment, batch: readonly LogAppend[]): Promise<DiskLocation[]> {
    const buffers: Uint8Array[] = [];
    const headers: Uint8Array[] = [];
    const locations: DiskLocation[] = [];
    let offset = segment.byteLength;
    for (const { record, payload } of batch) {
      assert(payload.length === record.payloadLength, 'record and payload differ in length');
      const header = encodeRecord(record, { segment: segment.number, offset, seed: segment.seed });
      const length = recordLength(record);
      const payloadOffset = offset + headerLength(record);
      headers.push(header);
      buffers.push(header, payload, zeros.subarray(0, length - header.length - payload.length));
      locations.push({
        segment,
        offset: payloadOffset,
        length: payload.length,
        crc: record.payloadCrc,
      });
      offset += length;
    }
    try {
      await segment.append(buffers, offset - segment.byteLength);
    } catch (error) {
      await this.#abandon(segment);
      throw error;
    }
    this.#noteHeaders(segment, headers);
    return locations;
  }

  #noteHeaders(segment: LogSegment, headers: readonly Uint8Array[]): void {
    if (this.#builder?.segment !== segment) return;
    for (const header of headers) this.#builder.add(header);
    this.#indexBytes.set(segment, this.#builder.byteLength);
  }

  /**
   * Begins to write the index of the segment that takes no more records. Appends do not wait for
   * it; a process that dies meanwhile leaves a torn file, which is not used.
   */
  #beginIndex(): void {
    const builder = this.#builder;
    if (builder === undefined) return;
    this.#builder = undefined;
    const { segment } = builder;
    if (!builder.isWorthwhile) {
      this.#indexBytes.delete(segment);
      return;
    }
    const writing = this.#writeIndex(builder).finally(() => this.#indexing.delete(segment));
    this.#indexing.set(segment, writing);
    // Whoever drops the segment or closes the log gets a fault of ours; nobody waits before.
    writing.catch(() => undefined);
  }

  async #writeIndex(builder: SegmentIndexBuilder): Promise<void> {
    const { files, storeDigest, onIndexFailure } = this.#options;
    const path = indexPath(builder.segment);
    try {
      await writeIndex(files, builder, storeDigest);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      onIndexFailure?.(path, error);
      await removeIfPossible(files, path);
      this.#indexBytes.delete(builder.segment);
    }
  }

  /** After a failed write the segment takes no more records: what stands behind its end is unknown. */
  async #abandon(segment: LogSegment): Promise<void> {
    this.seal();
    try {
      await segment.cutToEnd();
    } catch (error) {
      // The scan ignores a torn end just as well; only a code we cannot explain is passed on.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }

  async #segmentForAppend(): Promise<LogSegment> {
    const last = this.#segments.at(-1);
    if (this.#isOpenForAppend && last !== undefined && last.byteLength < this.segmentBytes) {
      return last;
    }
    this.#beginIndex();
    const { files, random, directory, storeDigest } = this.#options;
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    const path = `${directory}/${segmentName(number)}`;
    const segment = await LogSegment.create({ files, random, path, number, storeDigest });
    this.#segments.push(segment);
    this.#builder = new SegmentIndexBuilder(segment);
    this.#isOpenForAppend = true;
    return segment;
  }
}

interface FoundSegments {
  readonly segments: LogSegment[];
  readonly indexBytes: Map<LogSegment, number>;
}

function numbersOf(
  names: readonly string[],
  numberOf: (name: string) => number | undefined,
): readonly number[] {
  return names
    .map(numberOf)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b);
}

/** Removes index files whose segments are gone. */
async function removeOrphans(
  { files, directory }: DiskLogOptions,
  indexed: ReadonlySet<number>,
  numbers: ReadonlySet<number>,
): Promise<void> {
  for (const number of indexed) {
    if (!numbers.has(number)) await removeIfPossible(files, `${directory}/${indexName(number)}`);
  }
}

/** An index file that stays is not used, and the next opening or its segment takes it away. */
async function removeIfPossible(files: Files, path: string): Promise<void> {
  try {
    await files.remove(path);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
  }
}

/** How far the batch reaches from `start` within `room` bytes; at least one record always does. */
function countThatFits(batch: readonly LogAppend[], start: number, room: number): number {
  let end = start;
  let used = 0;
  while (end < batch.length) {
    used += recordLength(batch[end].record);
    if (used > room && end > start) break;
    end += 1;
  }
  return end;
}
