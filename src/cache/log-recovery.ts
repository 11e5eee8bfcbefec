import { crc32c } from '../base/crc32c.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { payloadKinds } from '../blocks/payload-kind.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import {
  decodeKeys,
  headerLength,
  recordAlignment,
  recordHeaderBytesMax,
  recordLength,
  RecordReader,
} from './log-record.ts';
import type { LogRecord } from './log-record.ts';
import type { LogSegment } from './log-segment.ts';
import { segmentHeaderBytes } from './segment-header.ts';
import type { PlacedRecord } from './segment-index.ts';

/** A payload found in a log, and where its bytes lie. Its checksum has not been compared yet. */
export interface RecoveredPayload {
  readonly record: LogRecord;
  readonly segment: LogSegment;
  /** First byte of the payload in the segment. */
  readonly offset: number;
  readonly isPending: boolean;
}

/** Bytes of a segment in which no intact record lies, or the keys of a save that fail their check. */
export interface LogGap {
  readonly segment: LogSegment;
  readonly offset: number;
  readonly byteLength: number;
  /** True for the end of the segment, which a crash may leave torn. */
  readonly isEnd: boolean;
}

/** What a scan of segments found. */
export interface RecoveredLog {
  readonly payloads: readonly RecoveredPayload[];
  /** Damaged record headers with what lies behind each, up to the next intact record. */
  readonly gaps: readonly LogGap[];
  /** Keys of the saves that have pending payloads, by save id. */
  readonly chains: ReadonlyMap<number, readonly BlockKey[]>;
  /** Highest sequence number and save id in use. */
  readonly lastSequence: number;
  readonly lastSaveId: number;
}

/**
 * True when no crash of a process leaves such a gap: it writes one thing after another, so what is cut
 * off is the end, within a header, or behind an intact one. A loss of power may leave any.
 */
export function isDamage({ isEnd, byteLength }: LogGap): boolean {
  return !isEnd || byteLength >= recordHeaderBytesMax;
}

/** Windows read while scanning: small records are read many at a time, large ones by header. */
const wideWindowBytes = 256 * 1024;
const narrowWindowBytes = 4 * 1024;
/** A payload above this makes the next window narrow: most of a wide one would be skipped. */
const widePayloadBytesMax = 64 * 1024;

/** The records of a segment where an index tells them; undefined where it must be scanned. */
export type RecordSource = (segment: LogSegment) => Promise<readonly PlacedRecord[] | undefined>;

/**
 * Reads every record of the segments, oldest first, and returns the payloads that are still valid.
 * A torn end is ignored; after a damaged header the scan goes on at the next intact one. A segment
 * that `source` knows is not scanned.
 */
export async function recoverLog(
  segments: readonly LogSegment[],
  source?: RecordSource,
): Promise<RecoveredLog> {
  const found = new Recovery();
  for (const segment of segments) {
    const records = await source?.(segment);
    if (records === undefined) await scanSegment(segment, found);
    else for (const placed of records) found.add(placed, segment);
  }
  return found.result();
}

/** The records of one segment, read from the segment itself. */
export interface ScannedSegment {
  readonly records: readonly PlacedRecord[];
  /** True when they follow each other without a gap from the header of the segment to its end. */
  readonly isWhole: boolean;
}

/** Reads every record of the segment. */
export async function scanRecords(segment: LogSegment): Promise<ScannedSegment> {
  const records: PlacedRecord[] = [];
  let end = segmentHeaderBytes;
  let isWhole = true;
  await scanSegment(segment, {
    add: (placed) => {
      records.push(placed);
      end = placed.offset + recordLength(placed.record);
    },
    addGap: (_, offset, gapEnd) => {
      if (gapEnd > offset) isWhole = false;
    },
  });
  return { records, isWhole: isWhole && end === segment.byteLength };
}

/** Is told what a scan finds. */
interface RecordSink {
  add(placed: PlacedRecord, segment: LogSegment): void;
  /** No intact record was found from `offset` to `end`. */
  addGap(segment: LogSegment, offset: number, end: number): void;
}

type PayloadsByKind = Readonly<Record<PayloadKind, Map<BlockKey, RecoveredPayload>>>;

/** Gathers records in the order in which they were written. */
class Recovery implements RecordSink {
  readonly #payloads = new Map<Namespace, PayloadsByKind>();
  readonly #saves = new Map<number, PlacedList>();
  readonly #gaps: LogGap[] = [];
  #lastSequence = 0;
  #lastSaveId = 0;

  addGap(segment: LogSegment, offset: number, end: number): void {
    if (end === offset) return;
    const isEnd = end === segment.byteLength;
    this.#gaps.push({ segment, offset, byteLength: end - offset, isEnd });
  }

  /** Bytes that a record was found for, and that are not as they were written. */
  addDamage(segment: LogSegment, offset: number, byteLength: number): void {
    this.#gaps.push({ segment, offset, byteLength, isEnd: false });
  }

  add({ record, payloadOffset: offset }: PlacedRecord, segment: LogSegment): void {
    this.#lastSaveId = Math.max(this.#lastSaveId, record.saveId);
    if (record.type === 'save') {
      this.#saves.set(record.saveId, { record, segment, offset });
      return;
    }
    this.#lastSequence = Math.max(this.#lastSequence, record.sequence);
    const payloads = this.#payloadsOf(record);
    const known = payloads.get(record.key);
    if (record.type === 'payload') {
      if (known !== undefined && known.record.sequence > record.sequence) return;
      payloads.set(record.key, { record, segment, offset, isPending: !record.isDurable });
    } else if (record.type === 'uploaded') {
      if (known?.record.sequence !== record.sequence) return;
      payloads.set(record.key, { ...known, isPending: false });
    } else if (known !== undefined && known.record.sequence <= record.sequence) {
      payloads.delete(record.key);
    }
  }

  #payloadsOf({ namespace, kind }: LogRecord): Map<BlockKey, RecoveredPayload> {
    let byKind = this.#payloads.get(namespace);
    if (byKind === undefined) {
      byKind = { block: new Map(), tail: new Map(), 'raw-tail': new Map() };
      this.#payloads.set(namespace, byKind);
    }
    return byKind[kind];
  }

  async result(): Promise<RecoveredLog> {
    const payloads: RecoveredPayload[] = [];
    for (const byKind of this.#payloads.values()) {
      for (const kind of payloadKinds) {
        for (const payload of byKind[kind].values()) payloads.push(payload);
      }
    }
    const pendingSaves = new Set(payloads.filter((p) => p.isPending).map((p) => p.record.saveId));
    const chains = new Map<number, readonly BlockKey[]>();
    for (const [saveId, list] of this.#saves) {
      // Of what is durable the list is of no use any more, and is not read.
      if (!pendingSaves.has(saveId)) continue;
      const keys = await readKeys(list);
      if (keys !== undefined) chains.set(saveId, keys);
      else this.addDamage(list.segment, list.offset, list.record.payloadLength);
    }
    return {
      payloads,
      gaps: this.#gaps,
      chains,
      lastSequence: this.#lastSequence,
      lastSaveId: this.#lastSaveId,
    };
  }
}

async function scanSegment(segment: LogSegment, found: RecordSink): Promise<void> {
  const window = new ScanWindow(segment);
  let offset = segmentHeaderBytes;
  let intactEnd = offset;
  while (offset + recordAlignment <= segment.byteLength) {
    if (!window.holds(offset)) await window.load(offset);
    const record = window.read(offset);
    if (record === undefined) {
      offset += recordAlignment;
      continue;
    }
    found.addGap(segment, intactEnd, offset);
    const payloadOffset = offset + headerLength(record);
    if (payloadOffset + record.payloadLength > segment.byteLength) return;
    found.add({ record, offset, payloadOffset }, segment);
    window.expect(record.payloadLength);
    offset += recordLength(record);
    intactEnd = offset;
  }
  found.addGap(segment, Math.min(intactEnd, segment.byteLength), segment.byteLength);
}

/** The list of keys of a save, and where it lies. */
interface PlacedList {
  readonly record: LogRecord;
  readonly segment: LogSegment;
  readonly offset: number;
}

/** The keys of the list, or undefined when it is damaged. */
async function readKeys({
  record,
  segment,
  offset,
}: PlacedList): Promise<readonly BlockKey[] | undefined> {
  const bytes = new Uint8Array(record.payloadLength);
  const isWhole = await segment.read(bytes, offset);
  return isWhole && crc32c(bytes) === record.payloadCrc ? decodeKeys(bytes) : undefined;
}

/** The part of the segment that was read last. */
class ScanWindow {
  readonly #segment: LogSegment;
  readonly #buffer = new Uint8Array(wideWindowBytes);
  readonly #reader = new RecordReader(this.#buffer);
  #start = 0;
  #length = 0;
  #nextLength = wideWindowBytes;

  constructor(segment: LogSegment) {
    this.#segment = segment;
  }

  /** Tells how large the payload was that is skipped next. */
  expect(payloadLength: number): void {
    this.#nextLength = payloadLength > widePayloadBytesMax ? narrowWindowBytes : wideWindowBytes;
  }

  /** True when it has the bytes from `offset`: enough for any header unless the segment ends before. */
  holds(offset: number): boolean {
    const needed = Math.min(recordHeaderBytesMax, this.#segment.byteLength - offset);
    return offset >= this.#start && offset + needed <= this.#start + this.#length;
  }

  /** Reads the bytes from `offset` on. */
  async load(offset: number): Promise<void> {
    this.#length = Math.min(this.#nextLength, this.#segment.byteLength - offset);
    this.#start = offset;
    await this.#segment.read(this.#buffer.subarray(0, this.#length), offset);
  }

  /** The record that begins there, if an intact one does. */
  read(offset: number): LogRecord | undefined {
    const { number, seed } = this.#segment;
    const place = { segment: number, offset, seed };
    return this.#reader.read(offset - this.#start, this.#length, place);
  }
}
