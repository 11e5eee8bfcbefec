import { assert } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import {
  bulkPreambleBytes,
  bulkTableBytes,
  checksumBytes,
  decodeBulkHead,
  payloadBytesOf,
} from './http1-bulk.ts';
import type { BulkHead } from './http1-bulk.ts';
import { decodeForm, formBytes } from './http1-form.ts';
import type { CompressedForm } from './read-messages.ts';

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

/** Gives memory of that length, or throws what ends the body. */
export type TakeMemory = (byteLength: number) => Uint8Array;

const ordinaryMemory: TakeMemory = (byteLength) => new Uint8Array(byteLength);

const firstCollectBytes = 4096;

/** Collects a body of unknown length in memory that grows with what has really come. */
export class CollectSink implements BodySink {
  readonly #byteLengthMax: number;
  readonly #byteLength: number | undefined;
  readonly #take: TakeMemory;
  #memory: Uint8Array;
  #length = 0;

  /** With `byteLength` the memory is taken at once; it was checked against the limit. */
  constructor(byteLengthMax: number, byteLength?: number, take = ordinaryMemory) {
    assert(byteLength === undefined || byteLength <= byteLengthMax, `body of ${byteLength} bytes`);
    this.#byteLengthMax = byteLengthMax;
    this.#byteLength = byteLength;
    this.#take = take;
    this.#memory = take(Math.max(byteLength ?? firstCollectBytes, 1));
  }

  /** What came. */
  get bytes(): Uint8Array {
    return this.#memory.subarray(0, this.#length);
  }

  space(): Uint8Array {
    return this.#memory.subarray(this.#length);
  }

  took(count: number): void {
    this.#length += count;
    if (this.#length > this.#byteLengthMax) {
      throw new StoreError('TOO_LARGE', `a body of more than ${this.#byteLengthMax} bytes`);
    }
    // Here and not where it is asked for: nobody there could be told that there is none.
    if (this.#byteLength === undefined && this.#length === this.#memory.length) this.#grow();
  }

  #grow(): void {
    const grown = this.#take(2 * this.#memory.length);
    grown.set(this.#memory);
    this.#memory = grown;
  }

  finish(): void {
    assert(this.#length <= this.#byteLengthMax, `collected ${this.#length} bytes`);
  }
}

/** Where the payloads of a bulk body go, by the place of their records. What it throws ends the body. */
export interface BulkPlaces {
  /** Memory for the payload that comes next, of exactly its length; undefined: its bytes are dropped. */
  take(index: number): Uint8Array | undefined;
  /** It has come, and stands for that checksum unless `checking` rejects. Not told of one that was dropped. */
  came?(index: number, checksum: number, checking: Promise<void> | undefined): void;
  /**
   * It comes compressed, and there is no memory for that: the memory given for it is free, and its bytes are dropped.
   * Without this what says so ends the body.
   */
  refused?(index: number, why: StoreError): void;
}

/** Told of the head once, before any payload comes; it fits the length of the body. Throws `StoreError`. */
export type OpenPlaces = (head: BulkHead) => BulkPlaces;

/** The checksum of a payload that is whole, which may be computed beside what comes next. */
export type ChecksumOf = (payload: Uint8Array) => number | Promise<number>;

/** A payload that comes compressed. */
export interface ComingForm {
  /** Memory for the bytes that come: as many as the form says. */
  readonly stored: Uint8Array;
  /** All are there. Resolves to the checksum of the payload, when nothing touches either memory any more. */
  finish(): Promise<number>;
  /** No more bytes come. */
  giveUp(): void;
}

/** Begins to take a payload that comes compressed, into its memory. */
export type BeginForm = (form: CompressedForm, payload: Uint8Array) => ComingForm;

/** How payloads are checked, and made of their compressed forms; without the latter none may come so. */
export interface BulkWays {
  /** Gives memory for the table of the head; ordinary memory when absent. */
  readonly takeMemory?: TakeMemory | undefined;
  readonly checksumOf?: ChecksumOf | undefined;
  readonly beginForm?: BeginForm | undefined;
}

const nothing = new Uint8Array(0);

/** Bytes of a payload that is dropped are read into so much at a time. */
const dropBytes = 64 * 1024;

/** A bulk body that is complete. */
export interface BulkResult {
  readonly head: BulkHead;
  /** Of one that was left out, or dropped: empty. */
  readonly payloads: readonly Uint8Array[];
}

/** Reads a bulk body: its head first, then each payload into the memory given for it. */
export class BulkSink implements BodySink {
  readonly #openPlaces: OpenPlaces;
  readonly #byteLength: number | undefined;
  readonly #checksumOf: ChecksumOf;
  readonly #beginForm: BeginForm | undefined;
  readonly #takeMemory: TakeMemory;
  readonly #verifying: Promise<void>[] = [];
  readonly #preamble = new Uint8Array(bulkPreambleBytes);
  readonly #form = new Uint8Array(formBytes);
  readonly #checksum = new Uint8Array(checksumBytes);
  #table: Uint8Array | undefined;
  #head: BulkHead | undefined;
  #places: BulkPlaces | undefined;
  #payloads: Uint8Array[] = [];
  /** Records whose payloads come, in that order; which of them comes, and after the last one their number. */
  #order: readonly number[] = [];
  #next = 0;
  /** Which part of the payload comes. */
  #at: 'form' | 'bytes' | 'checksum' = 'bytes';
  #coming: ComingForm | undefined;
  #filled = 0;
  /** The payload that comes is dropped: bytes of it that are still to come, and where they are read to. */
  #toDrop: number | undefined;
  #dropMemory: Uint8Array | undefined;

  /** `byteLength` is that of the whole body, when it is known beforehand. */
  constructor(openPlaces: OpenPlaces, byteLength?: number, ways: BulkWays = {}) {
    this.#openPlaces = openPlaces;
    this.#byteLength = byteLength;
    this.#checksumOf = ways.checksumOf ?? crc32c;
    this.#beginForm = ways.beginForm;
    this.#takeMemory = ways.takeMemory ?? ordinaryMemory;
  }

  /** What came, once the body is complete. */
  get result(): BulkResult {
    assert(this.#head !== undefined && this.#isFull, 'the bulk body is complete');
    return { head: this.#head, payloads: this.#payloads };
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

  /** No more bytes come. Resolves when nothing touches memory of payloads any more. */
  async close(): Promise<void> {
    this.#coming?.giveUp();
    this.#coming = undefined;
    await Promise.allSettled(this.#verifying);
  }

  get #isFull(): boolean {
    return this.#head !== undefined && this.#next === this.#order.length;
  }

  get #target(): Uint8Array | undefined {
    if (this.#table === undefined) return this.#preamble;
    if (this.#head === undefined) return this.#table;
    if (this.#next === this.#order.length) return undefined;
    if (this.#at === 'form') return this.#form;
    if (this.#at === 'checksum') return this.#checksum;
    if (this.#toDrop !== undefined) return this.#dropMemory?.subarray(0, this.#toDrop);
    return this.#coming?.stored ?? this.#payloads[this.#order[this.#next]];
  }

  #complete(): void {
    const filled = this.#filled;
    this.#filled = 0;
    if (this.#table === undefined) this.#startTable();
    else if (this.#head === undefined) this.#startPayloads(this.#table);
    else if (this.#at === 'form') this.#startBytes(this.#head);
    else if (this.#at === 'checksum') this.#endPayload(this.#head);
    else this.#endBytes(filled);
  }

  #endBytes(count: number): void {
    if (this.#toDrop !== undefined) this.#toDrop -= count;
    if (this.#toDrop === undefined || this.#toDrop === 0) this.#at = 'checksum';
  }

  #startTable(): void {
    const tableBytes = bulkTableBytes(this.#preamble);
    const least = bulkPreambleBytes + tableBytes;
    if (this.#byteLength !== undefined && this.#byteLength < least) {
      throw invalid(`of ${this.#byteLength} bytes claims a table that ends at ${least}`);
    }
    this.#table = this.#takeMemory(tableBytes);
  }

  #startPayloads(table: Uint8Array): void {
    const head = decodeBulkHead(this.#preamble, table);
    const expected = bulkPreambleBytes + table.length + payloadBytesOf(head.records);
    const isStated = this.#byteLength !== undefined && head.hasForms !== true;
    if (isStated && this.#byteLength !== expected) {
      throw invalid(`of ${this.#byteLength} bytes claims payloads that end at ${expected}`);
    }
    this.#places = this.#openPlaces(head);
    this.#payloads = head.records.map(() => nothing);
    const coming = head.records
      .map((_, index) => index)
      .filter((at) => !head.records[at].isLeftOut);
    this.#order = head.isLastFirst === true ? coming.reverse() : coming;
    this.#head = head;
    this.#startPayload(head);
  }

  #startPayload(head: BulkHead): void {
    if (this.#next === this.#order.length) return;
    if (head.hasForms === true) this.#at = 'form';
    else this.#startBytes(head);
  }

  /** What it comes in is known: it gets its memory. */
  #startBytes({ records, hasForms = false }: BulkHead): void {
    const index = this.#order[this.#next];
    const { byteLength } = records[index];
    const form = hasForms ? decodeForm(this.#form, byteLength) : undefined;
    const begin = this.#beginForm;
    if (form !== undefined && begin === undefined) {
      throw invalid('has a payload that comes compressed, which was not agreed');
    }
    assert(this.#places !== undefined, 'a body whose head has come has places');
    const memory = this.#places.take(index);
    if (memory === undefined) {
      this.#startDropping(form?.length ?? byteLength);
      return;
    }
    assert(memory.length === byteLength, `memory for record ${index}`);
    this.#payloads[index] = memory;
    this.#at = memory.length === 0 ? 'checksum' : 'bytes';
    if (form !== undefined && begin !== undefined) this.#startForm(form, memory, begin);
  }

  #startForm(form: CompressedForm, memory: Uint8Array, begin: BeginForm): void {
    const places = this.#places;
    try {
      this.#coming = begin(form, memory);
    } catch (error) {
      if (!isStoreError(error, 'BUSY') || places?.refused === undefined) throw error;
      const index = this.#order[this.#next];
      this.#payloads[index] = nothing;
      places.refused(index, error);
      this.#startDropping(form.length);
    }
  }

  #startDropping(byteLength: number): void {
    this.#toDrop = byteLength;
    if (byteLength > 0) this.#dropMemory ??= this.#takeMemory(dropBytes);
    this.#at = byteLength === 0 ? 'checksum' : 'bytes';
  }

  #endPayload(head: BulkHead): void {
    if (this.#toDrop === undefined) this.#checkPayload(head);
    this.#toDrop = undefined;
    this.#next += 1;
    this.#startPayload(head);
  }

  #checkPayload(head: BulkHead): void {
    const index = this.#order[this.#next];
    const expected = viewOf(this.#checksum).getUint32(0, true);
    const { key } = head.records[index];
    const compare = (computed: number): void => {
      if (computed === expected) return;
      throw new StoreError('CORRUPT', `the payload of ${key} was damaged on its way`);
    };
    const coming = this.#coming;
    this.#coming = undefined;
    const computed = coming?.finish() ?? this.#checksumOf(this.#payloads[index]);
    let checking: Promise<void> | undefined;
    if (typeof computed === 'number') compare(computed);
    else {
      checking = computed.then(compare);
      // Whoever asks when all of the body is there hears of it; it may never be.
      checking.catch(() => undefined);
      this.#verifying.push(checking);
    }
    this.#places?.came?.(index, expected, checking);
  }
}

function invalid(what: string): StoreError {
  return new StoreError('INVALID', `the bulk body ${what}`);
}
