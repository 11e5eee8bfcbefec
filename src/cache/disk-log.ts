import { assert } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Files } from '../platform/files.ts';
import type { Random } from '../platform/random.ts';
import { encodeRecord, headerLength, recordAlignment, recordLength } from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import { recoverLog } from './log-recovery.ts';
import type { RecoveredLog } from './log-recovery.ts';
import { LogSegment, lookAtSegment, segmentName, segmentNumber } from './log-segment.ts';

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
}

/** A log, and what was found in its directory. */
export interface OpenedLog {
  readonly log: DiskLog;
  readonly recovered: RecoveredLog;
  /** Files named like segments whose headers fail their check: they are not read, and stay. */
  readonly damagedSegments: readonly string[];
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

  private constructor(options: DiskLogOptions, segments: LogSegment[], nextNumber: number) {
    this.#options = options;
    this.#segments = segments;
    this.#nextNumber = nextNumber;
  }

  /** Opens the log of the directory and tells what earlier processes left in it. */
  static async open(options: DiskLogOptions): Promise<OpenedLog> {
    const { files, directory, storeDigest } = options;
    const numbers: number[] = [];
    for (const entry of await files.list(directory)) {
      const number = segmentNumber(entry.name);
      if (number !== undefined) numbers.push(number);
    }
    numbers.sort((a, b) => a - b);
    const segments: LogSegment[] = [];
    const damagedSegments: string[] = [];
    try {
      for (const number of numbers) {
        const path = `${directory}/${segmentName(number)}`;
        const place = { files, path, number, storeDigest };
        const segment = await LogSegment.open(place);
        const look = segment === undefined ? await lookAtSegment(place) : 'own';
        // A header cut off by a crash holds no record yet; anything else is not ours to remove.
        if (look === 'short') await files.remove(path);
        if (look === 'damaged') damagedSegments.push(path);
        if (segment !== undefined) segments.push(segment);
      }
      const recovered = await recoverLog(segments);
      const log = new DiskLog(options, segments, (numbers.at(-1) ?? 0) + 1);
      return { log, recovered, damagedSegments };
    } catch (error) {
      await Promise.all(segments.map((segment) => segment.close()));
      throw error;
    }
  }

  /** Bytes of all segments. */
  get byteLength(): number {
    let sum = 0;
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
    this.#segments.shift();
    await this.#options.files.remove(segment.path);
    await segment.close();
  }

  /** Waits for the last append and closes the files. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#lastAppend;
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
    const locations: DiskLocation[] = [];
    let offset = segment.byteLength;
    for (const { record, payload } of batch) {
      assert(payload.length === record.payloadLength, 'record and payload differ in length');
      const header = encodeRecord(record, { segment: segment.number, offset, salt: segment.salt });
      const length = recordLength(record);
      const payloadOffset = offset + headerLength(record);
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
    return locations;
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
    const { files, random, directory, storeDigest } = this.#options;
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    const path = `${directory}/${segmentName(number)}`;
    const segment = await LogSegment.create({ files, random, path, number, storeDigest });
    this.#segments.push(segment);
    this.#isOpenForAppend = true;
    return segment;
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
