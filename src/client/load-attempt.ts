import type { BytePool } from '../base/byte-pool.ts';
import { StoreError } from '../base/errors.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import { decodeLoaded, decodePayloadNotice } from '../protocol/read-messages.ts';
import type { Loaded, PayloadNotice } from '../protocol/read-messages.ts';
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
  /** Of the payloads behind those that were compared already. */
  readonly #sums: Promise<number>[] = [];

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
    return new StoreError('CORRUPT', `payload ${index} was damaged on its way`);
  }

  take(length: number): Uint8Array {
    return this.#pool.take(length);
  }

  /** Gives all memory back. Harmless when called again. */
  release(): void {
    this.#giveBack(0);
  }

  #giveBack(first: number): void {
    for (const { payload } of this.#received.splice(first)) this.#pool.give(payload);
  }
}

/** One attempt to load what the collection does not have yet. */
export class LoadAttempt implements Attempt<Loaded> {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly #collection: LoadCollection;
  /** Payloads that may come in this attempt, and how many there were before. */
  readonly #countMax: number;
  readonly #first: number;
  #current: { readonly notice: PayloadNotice; readonly payload: Uint8Array } | undefined;
  #filled = 0;

  constructor(
    call: { readonly type: FrameType; readonly body: Uint8Array },
    collection: LoadCollection,
    countMax: number,
  ) {
    this.type = call.type;
    this.body = call.body;
    this.#collection = collection;
    this.#countMax = countMax;
    this.#first = collection.count;
  }

  started(): void {}

  ended(): Promise<StoreError | undefined> {
    // Memory that the connection may still write to is not given back, only forgotten.
    this.#current = undefined;
    return this.#collection.verify();
  }

  onFrame(type: FrameType, body: Uint8Array): void {
    if (type !== 'payload') throw new StoreError('INVALID', `a load is not answered by ${type}`);
    const notice = decodePayloadNotice(body);
    const index = this.#collection.count - this.#first;
    if (this.#current !== undefined || notice.index !== index || index >= this.#countMax) {
      throw new StoreError('INVALID', `payload ${notice.index} of a load is not expected`);
    }
    this.#current = { notice, payload: this.#collection.take(notice.length) };
    this.#filled = 0;
    if (notice.length === 0) this.#finish();
  }

  dataTarget(length: number): Uint8Array {
    const payload = this.#current?.payload;
    if (payload === undefined || length === 0 || this.#filled + length > payload.length) {
      throw new StoreError('INVALID', `a piece of ${length} bytes is not expected`);
    }
    return payload.subarray(this.#filled, this.#filled + length);
  }

  onData(length: number): void {
    this.#filled += length;
    if (this.#filled === this.#current?.payload.length) this.#finish();
  }

  answer(type: FrameType, body: Uint8Array): Loaded {
    if (type !== 'loaded') throw new StoreError('INVALID', `a load is not answered by ${type}`);
    const { count, reason } = decodeLoaded(body);
    if (this.#current !== undefined || count !== this.#collection.count - this.#first) {
      throw new StoreError('INVALID', `${count} payloads were announced, and others came`);
    }
    return { count, reason };
  }

  #finish(): void {
    const current = this.#current;
    this.#current = undefined;
    if (current === undefined) return;
    const { notice, payload } = current;
    this.#collection.add({ ...notice, payload });
  }
}
