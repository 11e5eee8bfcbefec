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
  /** Of a raw tail: the tag of its object, where the log has it. */
  readonly etag: string | undefined;
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

/** A payload whose tag has not been read. */
type FoundPayload = Omit<RecoveredPayload, 'etag'> & { readonly tag: PlacedBytes | undefined };

type PayloadsByKind = Readonly<Record<PayloadKind, Map<BlockKey, FoundPayload>>>;

/** Gathers records in the order in which they were written. */
class Recovery implements RecordSink {
  readonly #payloads = new Map<Namespace, PayloadsByKind>();
  readonly #saves = new Map<number, PlacedBytes>();
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
      const isPending = !record.isDurable;
      payloads.set(record.key, { record, segment, offset, isPending, tag: undefined });
    } else if (record.type === 'uploaded') {
      if (known?.record.sequence !== record.sequence) return;
      const tag = record.payloadLength === 0 ? undefined : { record, segment, offset };
      payloads.set(record.key, { ...known, isPending: false, tag });
    } else if (known !== undefined && known.record.sequence <= record.sequence) {
      payloads.delete(record.key);
    }
  }

  #payloadsOf({ namespace, kind }: LogRecord): Map<BlockKey, FoundPayload> {
    let byKind = this.#payloads.get(namespace);
    if (byKind === undefined) {
      byKind = { block: new Map(), tail: new Map(), 'raw-tail': new Map() };
      this.#payloads.set(namespace, byKind);
    }
    return byKind[kind];
  }

  /** What stands behind the header of a record; undefined, and damage, when it fails its check. */
  async #bytesOf({ record, segment, offset }: PlacedBytes): Promise<Buffer | undefined> {
    const bytes = Buffer.alloc(record.payloadLength);
    const isWhole = await segment.read(bytes, offset);
    if (isWhole && crc32c(bytes) === record.payloadCrc) return bytes;
    this.addDamage(segment, offset, record.payloadLength);
    return undefined;
  }

  async result(): Promise<RecoveredLog> {
    const payloads: RecoveredPayload[] = [];
    for (const byKind of this.#payloads.values()) {
      for (const kind of payloadKinds) {
        for (const { tag, ...payload } of byKind[kind].values()) {
          const etag = tag && (await this.#bytesOf(tag))?.toString();
          payloads.push({ ...payload, etag });
        }
      }
    }
    const pendingSaves = new Set(payloads.filter((p) => p.isPending).map((p) => p.record.saveId));
    const chains = new Map<number, readonly BlockKey[]>();
    for (const [saveId, list] of this.#saves) {
      // Of what is durable the list is of no use any more, and is not read.
      if (!pendingSaves.has(saveId)) continue;
      const keys = await this.#bytesOf(list);
      if (keys !== undefined) chains.set(saveId, decodeKeys(keys));
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

/** The list of keys of a save, or the tag of a raw tail's object, and where it lies. */
interface PlacedBytes {
  readonly record: LogRecord;
  readonly segment: LogSegment;
  readonly offset: number;
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
