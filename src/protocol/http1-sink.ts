import { assert } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import {
  bulkPreambleBytes,
  bulkTableBytes,
  checksumBytes,
  decodeBulkHead,
  payloadBytesOf,
} from './http1-bulk.ts';
import type { BulkHead, BulkRecord } from './http1-bulk.ts';

/**
 * Where the data of a body goes, straight from the socket when that is possible. `took` follows
 * `space` and says how many of its bytes are filled. `took` and `finish` throw `StoreError` when
 * the body is none that is wanted.
 */
export interface BodySink {
  /** Memory for what comes next, at least one byte. */
  space(): Uint8Array;
  took(count: number): void;
  /** The body is complete. */
  finish(): void;
  /** Resolves when what came has been checked; rejects with `CORRUPT`. Called after `finish`. */
  verified?(): Promise<void>;
}

const firstCollectBytes = 4096;

/** Collects a body of unknown length in memory that grows with what has really come. */
export class CollectSink implements BodySink {
  readonly #byteLengthMax: number;
  #memory: Uint8Array;
  #length = 0;

  /** With `byteLength` the memory is taken at once; it was checked against the limit. */
  constructor(byteLengthMax: number, byteLength?: number) {
    assert(byteLength === undefined || byteLength <= byteLengthMax, `body of ${byteLength} bytes`);
    this.#byteLengthMax = byteLengthMax;
    this.#memory = new Uint8Array(Math.max(byteLength ?? firstCollectBytes, 1));
  }

  /** What came. */
  get bytes(): Uint8Array {
    return this.#memory.subarray(0, this.#length);
  }

  space(): Uint8Array {
    if (this.#length === this.#memory.length) {
      const grown = new Uint8Array(2 * this.#memory.length);
      grown.set(this.#memory);
      this.#memory = grown;
    }
    return this.#memory.subarray(this.#length);
  }

  took(count: number): void {
    this.#length += count;
    if (this.#length <= this.#byteLengthMax) return;
    throw new StoreError('TOO_LARGE', `a body of more than ${this.#byteLengthMax} bytes`);
  }

  finish(): void {
    assert(this.#length <= this.#byteLengthMax, `collected ${this.#length} bytes`);
  }
}

/** Gives memory for each payload of the records, of exactly its length, or throws `StoreError`. */
export type TakePayloadMemory = (records: readonly BulkRecord[]) => readonly Uint8Array[];

/** The checksum of a payload that is whole, which may be computed beside what comes next. */
export type ChecksumOf = (payload: Uint8Array) => number | Promise<number>;

const nothing = new Uint8Array(0);

/** A bulk body that is complete. */
export interface BulkResult {
  readonly head: BulkHead;
  /** Of one that was left out: empty. */
  readonly payloads: readonly Uint8Array[];
  /** Checksums of the payloads, which hold once the body is verified. */
  readonly checksums: readonly (number | undefined)[];
}

/** Reads a bulk body: its head first, then each payload into the memory given for it. */
export class BulkSink implements BodySink {
  readonly #takeMemory: TakePayloadMemory;
  readonly #byteLength: number | undefined;
  readonly #checksumOf: ChecksumOf;
  readonly #verifying: Promise<void>[] = [];
  readonly #preamble = new Uint8Array(bulkPreambleBytes);
  readonly #checksum = new Uint8Array(checksumBytes);
  #table: Uint8Array | undefined;
  #head: BulkHead | undefined;
  #payloads: readonly Uint8Array[] = [];
  /** What stands behind each payload that came. */
  readonly #checksums: (number | undefined)[] = [];
  /** The payload that comes, with its checksum; after the last one their number. */
  #index = 0;
  #isAtChecksum = false;
  #filled = 0;

  /** `byteLength` is that of the whole body, when it is known beforehand. */
  constructor(takeMemory: TakePayloadMemory, byteLength?: number, checksumOf: ChecksumOf = crc32c) {
    this.#takeMemory = takeMemory;
    this.#byteLength = byteLength;
    this.#checksumOf = checksumOf;
  }

  /** What came, once the body is complete. */
  get result(): BulkResult {
    assert(this.#head !== undefined && this.#isFull, 'the bulk body is complete');
    return { head: this.#head, payloads: this.#payloads, checksums: this.#checksums };
  }

  space(): Uint8Array {
    const target = this.#target;
    // One byte more than there should be is enough to tell.
    return target === undefined ? new Uint8Array(1) : target.subarray(this.#filled);
  }

  took(count: number): void {
    const target = this.#target;
    if (target === undefined) throw invalid('goes on behind its last payload');
    this.#filled += count;
    if (this.#filled === target.length) this.#complete();
  }

  finish(): void {
    if (!this.#isFull) throw invalid('ends before its last payload');
  }

  async verified(): Promise<void> {
    await Promise.all(this.#verifying);
  }

  get #isFull(): boolean {
    return this.#head !== undefined && this.#index === this.#payloads.length;
  }

  get #target(): Uint8Array | undefined {
    if (this.#table === undefined) return this.#preamble;
    if (this.#head === undefined) return this.#table;
    if (this.#index === this.#payloads.length) return undefined;
    return this.#isAtChecksum ? this.#checksum : this.#payloads[this.#index];
  }

  #complete(): void {
    this.#filled = 0;
    if (this.#table === undefined) this.#startTable();
    else if (this.#head === undefined) this.#startPayloads(this.#table);
    else if (!this.#isAtChecksum) this.#isAtChecksum = true;
    else this.#endPayload(this.#head);
  }

  #startTable(): void {
    const tableBytes = bulkTableBytes(this.#preamble);
    const least = bulkPreambleBytes + tableBytes;
    if (this.#byteLength !== undefined && this.#byteLength < least) {
      throw invalid(`of ${this.#byteLength} bytes claims a table that ends at ${least}`);
    }
    this.#table = new Uint8Array(tableBytes);
  }

  #startPayloads(table: Uint8Array): void {
    const head = decodeBulkHead(this.#preamble, table);
    const expected = bulkPreambleBytes + table.length + payloadBytesOf(head.records);
    if (this.#byteLength !== undefined && this.#byteLength !== expected) {
      throw invalid(`of ${this.#byteLength} bytes claims payloads that end at ${expected}`);
    }
    const memory = this.#takeMemory(head.records);
    this.#payloads = head.records.map(({ isLeftOut, byteLength }, index) => {
      if (isLeftOut) return nothing;
      assert(memory[index].length === byteLength, `memory for record ${index}`);
      return memory[index];
    });
    this.#head = head;
    this.#toPayload(0, head);
  }

  #endPayload(head: BulkHead): void {
    const expected = viewOf(this.#checksum).getUint32(0, true);
    const { key } = head.records[this.#index];
    const compare = (computed: number): void => {
      if (computed === expected) return;
      throw new StoreError('CORRUPT', `the payload of ${key} was damaged on its way`);
    };
    const computed = this.#checksumOf(this.#payloads[this.#index]);
    this.#checksums[this.#index] = expected;
    if (typeof computed === 'number') compare(computed);
    else {
      const verifying = computed.then(compare);
      // Whoever asks when all of the body is there hears of it; it may never be.
      verifying.catch(() => undefined);
      this.#verifying.push(verifying);
    }
    this.#toPayload(this.#index + 1, head);
  }

  /** To the record with that index, or the next one after it that has a payload. */
  #toPayload(index: number, { records }: BulkHead): void {
    this.#index = index;
    while (this.#index < records.length && records[this.#index].isLeftOut) this.#index += 1;
    this.#isAtChecksum = this.#payloads[this.#index]?.length === 0;
  }
}

function invalid(what: string): StoreError {
  return new StoreError('INVALID', `the bulk body ${what}`);
}
