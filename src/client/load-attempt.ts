import type { BytePool } from '../base/byte-pool.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import { decodeLoaded, decodePayloadNotice } from '../protocol/read-messages.ts';
import type { CompressedForm, Loaded, PayloadNotice } from '../protocol/read-messages.ts';
import { refuseCompressed } from '../wire/wire-link.ts';
import type { WireCodec } from '../wire/wire-codec.ts';
import type { LoadMeter } from './load-meter.ts';
import type { Attempt } from './remote-call.ts';

/** A payload that has come whole, and whose checksum holds. */
export interface LoadedPayload extends PayloadNotice {
  readonly payload: Uint8Array;
}

/**
 * The payloads of one load, over all its attempts: what came before a connection was lost is not
 * asked for again. Owns their memory until they are given to a borrow.
 */
export class LoadCollection {
  readonly #pool: BytePool;
  readonly #checksums: Checksums;
  readonly #received: LoadedPayload[] = [];
  /** Of the payloads behind those that were compared already; what it could not be computed for, else. */
  readonly #sums: Promise<number | StoreError>[] = [];

  constructor(pool: BytePool, checksums: Checksums) {
    this.#pool = pool;
    this.#checksums = checksums;
  }

  /** Payloads that came. Between attempts all of them are {@link verify verified}. */
  get count(): number {
    return this.#received.length;
  }

  get payloads(): readonly LoadedPayload[] {
    return this.#received;
  }

  add(payload: LoadedPayload): void {
    this.#received.push(payload);
    this.#sums.push(Promise.resolve(this.#checksums.of(payload.payload)));
  }

  /** The same for one that came compressed, in memory of {@link memoryFor}. */
  addCompressed(
    payload: LoadedPayload,
    stored: Uint8Array,
    { codec, form }: { readonly codec: Pick<WireCodec, 'decode'>; readonly form: CompressedForm },
  ): void {
    this.#received.push(payload);
    const decoding = codec
      .decode(stored, form, payload.payload)
      .catch((error: unknown) => asStoreError(error))
      .finally(() => this.#pool.give(stored));
    this.#sums.push(decoding);
  }

  /**
   * Compares the checksums of what came. From the first payload that was damaged on all is given
   * back, and the result says so.
   */
  async verify(): Promise<StoreError | undefined> {
    const sums = await Promise.all(this.#sums.splice(0));
    const first = this.#received.length - sums.length;
    const bad = sums.findIndex((sum, at) => sum !== this.#received.at(first + at)?.crc);
    if (bad < 0 || first < 0) return undefined;
    const { index } = this.#received[first + bad];
    this.#giveBack(first + bad);
    const sum = sums[bad];
    const cause = typeof sum === 'number' ? undefined : sum;
    return new StoreError('CORRUPT', `payload ${index} was damaged on its way`, { cause });
  }

  /**
   * Memory for a payload, and where its bytes come: there, or where what is compressed comes.
   *
   * @throws StoreError `BUSY` when the system has none.
   */
  memoryFor({ length, compressed }: PayloadNotice): {
    readonly payload: Uint8Array;
    readonly into: Uint8Array;
  } {
    const payload = this.#pool.take(length);
    if (compressed === undefined) return { payload, into: payload };
    try {
      return { payload, into: this.#pool.take(compressed.length) };
    } catch (error) {
      this.#pool.give(payload);
      throw error;
    }
  }

  /** Gives all memory back. Harmless when called again. */
  release(): void {
    this.#giveBack(0);
  }

  #giveBack(first: number): void {
    for (const { payload } of this.#received.splice(first)) this.#pool.give(payload);
  }
}

export interface LoadToAttempt {
  readonly type: FrameType;
  readonly body: Uint8Array;
  /** For payloads that come compressed; undefined: none may. */
  readonly codec?: WireCodec | undefined;
  /** Told of the transfer when it has ended well. */
  readonly meter?: LoadMeter | undefined;
}

/** One attempt to load what the collection does not have yet. */
export class LoadAttempt implements Attempt<Loaded> {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly #collection: LoadCollection;
  /** Payloads that may come in this attempt, and how many there were before. */
  readonly #countMax: number;
  readonly #first: number;
  readonly #codec: WireCodec | undefined;
  readonly #meter: LoadMeter | undefined;
  /** `into` is where bytes come: the payload's memory, or that of what it is made of. */
  #current:
    | { readonly notice: PayloadNotice; readonly payload: Uint8Array; readonly into: Uint8Array }
    | undefined;
  #filled = 0;

  constructor(call: LoadToAttempt, collection: LoadCollection, countMax: number) {
    this.type = call.type;
    this.body = call.body;
    this.#codec = call.codec;
    this.#meter = call.meter;
    this.#collection = collection;
    this.#countMax = countMax;
    this.#first = collection.count;
  }

  started(): void {
    this.#meter?.started();
  }

  async ended(): Promise<StoreError | undefined> {
    // Memory that the connection may still write to is not given back, only forgotten.
    this.#current = undefined;
    const damage = await this.#collection.verify();
    if (damage === undefined) this.#meter?.ended();
    return damage;
  }

  /** What has come is the result where there is no memory for what comes next. */
  onFrame(type: FrameType, body: Uint8Array): Loaded | undefined {
    if (type !== 'payload') throw new StoreError('INVALID', `a load is not answered by ${type}`);
    const notice = decodePayloadNotice(body);
    const index = this.#collection.count - this.#first;
    if (this.#current !== undefined || notice.index !== index || index >= this.#countMax) {
      throw new StoreError('INVALID', `payload ${notice.index} of a load is not expected`);
    }
    const { compressed } = notice;
    refuseCompressed(compressed, this.#codec !== undefined);
    this.#meter?.began(notice);
    try {
      this.#current = { notice, ...this.#collection.memoryFor(notice) };
    } catch (error) {
      if (!isStoreError(error, 'BUSY')) throw error;
      return { count: this.#collection.count, reason: 'unavailable' };
    }
    this.#filled = 0;
    if (notice.length === 0) this.#finish();
    return undefined;
  }

  dataTarget(length: number): Uint8Array {
    const into = this.#current?.into;
    if (into === undefined || length === 0 || this.#filled + length > into.length) {
      throw new StoreError('INVALID', `a piece of ${length} bytes is not expected`);
    }
    return into.subarray(this.#filled, this.#filled + length);
  }

  onData(length: number): void {
    this.#filled += length;
    if (this.#filled === this.#current?.into.length) this.#finish();
  }

  answer(type: FrameType, body: Uint8Array): Loaded {
    if (type !== 'loaded') throw new StoreError('INVALID', `a load is not answered by ${type}`);
    const { count, reason } = decodeLoaded(body);
    if (this.#current !== undefined || count !== this.#collection.count - this.#first) {
      throw new StoreError('INVALID', `${count} payloads were announced, and others came`);
    }
    this.#meter?.answered();
    return { count, reason };
  }

  #finish(): void {
    const current = this.#current;
    this.#current = undefined;
    if (current === undefined) return;
    const { notice, payload, into } = current;
    const { compressed: form } = notice;
    const loaded = { ...notice, payload };
    if (form === undefined || this.#codec === undefined) this.#collection.add(loaded);
    else this.#collection.addCompressed(loaded, into, { codec: this.#codec, form });
  }
}

function asStoreError(error: unknown): StoreError {
  if (isStoreError(error)) return error;
  return new StoreError('UNAVAILABLE', messageOf(error), { cause: error });
}
