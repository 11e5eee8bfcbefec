import { assert } from '../base/assert.ts';
import type { BytePool } from '../base/byte-pool.ts';
import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { StoreError } from '../base/errors.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import type { PayloadIntake } from './served-call.ts';

/** A payload that is to come. */
export interface ExpectedPayload {
  readonly index: number;
  readonly length: number;
}

/** A payload that has come, and whose checksum holds. */
export interface ReceivedPayload extends ExpectedPayload {
  readonly payload: Uint8Array;
  readonly crc: number;
}

/**
 * Takes the payloads of a save in the order in which they are expected, into memory of the pool. No
 * byte is taken before it was granted.
 */
export class SaveIntake implements PayloadIntake {
  readonly #expected: readonly ExpectedPayload[];
  readonly #pool: BytePool;
  #next = 0;
  #granted = 0;
  #current: { readonly notice: PayloadNotice; readonly into: Uint8Array } | undefined;
  #filled = 0;
  readonly #received: ReceivedPayload[] = [];
  #waiting: { readonly until: number; readonly arrival: Deferred<void> } | undefined;
  #failure: StoreError | undefined;

  constructor(expected: readonly ExpectedPayload[], pool: BytePool) {
    this.#expected = expected;
    this.#pool = pool;
  }

  /** Lets so many more bytes come. */
  grant(bytes: number): void {
    this.#granted += bytes;
  }

  /** Resolves when the first `count` of all payloads are there; gives those not given before. */
  async receive(count: number, signal: AbortSignal): Promise<readonly ReceivedPayload[]> {
    assert(this.#waiting === undefined, 'one at a time waits for payloads');
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#next < count || this.#current !== undefined) {
      const arrival = deferred<void>();
      this.#waiting = { until: count, arrival };
      const onAbort = (): void => arrival.reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      try {
        await arrival.promise;
      } finally {
        signal.removeEventListener('abort', onAbort);
        this.#waiting = undefined;
      }
    }
    return this.#received.splice(0);
  }

  /** Gives back what came and nobody took. A payload that is still being filled is left alone. */
  discard(): void {
    for (const { payload } of this.#received.splice(0)) this.#pool.give(payload);
  }

  begin(notice: PayloadNotice): void {
    const expected = this.#expected.at(this.#next);
    const { index, length } = notice;
    if (this.#current !== undefined || expected === undefined) {
      throw new StoreError('INVALID', `payload ${index} of a save is not expected`);
    }
    if (expected.index !== index || expected.length !== length) {
      const got = `payload ${index} of ${length} bytes`;
      const due = `payload ${expected.index} of ${expected.length} bytes is due`;
      throw new StoreError('INVALID', `${got}; ${due}`);
    }
    if (length > this.#granted) {
      const message = `payload ${index} has ${length} bytes; ${this.#granted} are granted`;
      throw new StoreError('INVALID', message);
    }
    this.#granted -= length;
    this.#current = { notice, into: this.#pool.take(length) };
    this.#filled = 0;
    if (length === 0) this.#finish();
  }

  target(length: number): Uint8Array {
    const { into } = this.#current ?? noPayload;
    if (length === 0 || this.#filled + length > into.length) {
      const rest = into.length - this.#filled;
      throw new StoreError('INVALID', `a piece of ${length} bytes; ${rest} are due`);
    }
    return into.subarray(this.#filled, this.#filled + length);
  }

  filled(length: number): void {
    this.#filled += length;
    if (this.#filled === this.#current?.into.length) this.#finish();
  }

  #finish(): void {
    assert(this.#current !== undefined, 'a payload is whole');
    const { notice, into } = this.#current;
    const { index, length, crc } = notice;
    this.#current = undefined;
    this.#next += 1;
    if (crc32c(into) !== crc) {
      this.#pool.give(into);
      const message = `payload ${index} was damaged on its way: its checksum does not hold`;
      this.#failure ??= new StoreError('CORRUPT', message);
    } else {
      this.#received.push({ index, length, payload: into, crc });
    }
    if (this.#failure !== undefined) this.#waiting?.arrival.reject(this.#failure);
    else if (this.#next >= (this.#waiting?.until ?? Infinity)) this.#waiting?.arrival.resolve();
  }
}

const noPayload = { into: new Uint8Array(0) };
