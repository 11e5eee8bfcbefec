import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { StoreError } from '../base/errors.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import type { IntakeMemory } from './intake-memory.ts';
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
 * Takes the payloads of a save in the order in which they are expected, into the memory given. No
 * byte is taken before it was granted.
 */
export class SaveIntake implements PayloadIntake {
  readonly #expected: readonly ExpectedPayload[];
  readonly #memory: IntakeMemory;
  readonly #checksums: Checksums;
  #next = 0;
  /** Payloads that {@link receive} has given. */
  #given = 0;
  #granted = 0;
  #current: { readonly notice: PayloadNotice; readonly into: Uint8Array } | undefined;
  #filled = 0;
  /** With the comparison of its checksum, which may still be under way. */
  readonly #received: (ReceivedPayload & { readonly verifying: Promise<void> })[] = [];
  #waiting: { readonly until: number; readonly arrival: Deferred<void> } | undefined;
  #failure: StoreError | undefined;
  /** Memory that the client fills by itself, by groups; the first is due first. */
  #lent: { readonly start: number; readonly payloads: readonly Uint8Array[] }[] = [];
  /** A piece is being read into the current payload. */
  #isReading = false;
  #isDiscarded = false;

  constructor(
    expected: readonly ExpectedPayload[],
    { memory, checksums }: { readonly memory: IntakeMemory; readonly checksums: Checksums },
  ) {
    this.#expected = expected;
    this.#memory = memory;
    this.#checksums = checksums;
  }

  /** Lets so many more bytes come. */
  grant(bytes: number): void {
    this.#granted += bytes;
  }

  /** Lets the payloads from that one on be put into this memory, by a process of this host. */
  lend(start: number, payloads: readonly Uint8Array[]): void {
    this.#lent.push({ start, payloads });
  }

  /** Resolves when the first `count` of all payloads are there; gives those not given before. */
  async receive(count: number, signal: AbortSignal): Promise<readonly ReceivedPayload[]> {
    await this.#arrival(count, signal);
    const wanted = this.#received.slice(0, count - this.#given);
    await Promise.all(wanted.map(({ verifying }) => verifying));
    if (this.#failure !== undefined) throw this.#failure;
    signal.throwIfAborted();
    this.#given += wanted.length;
    return this.#received.splice(0, wanted.length);
  }

  async #arrival(count: number, signal: AbortSignal): Promise<void> {
    assert(this.#waiting === undefined, 'one at a time waits for payloads');
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#next >= count) return;
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

  /** Gives back what came and nobody took, and what was coming, as soon as nothing comes there any more. */
  discard(): void {
    this.#isDiscarded = true;
    for (const { payload } of this.#received.splice(0)) this.#memory.give(payload);
    for (const { payloads } of this.#lent.splice(0)) {
      for (const payload of payloads) this.#memory.give(payload);
    }
    this.#giveCurrent();
  }

  lost(): void {
    this.#isReading = false;
    this.#giveCurrent();
  }

  fill(crcs: readonly number[]): void {
    const group = this.#lent.at(0);
    if (group?.start !== this.#next || this.#current !== undefined) {
      throw new StoreError('INVALID', 'memory is said to be filled that is not lent, or not due');
    }
    if (crcs.length !== group.payloads.length) {
      const got = `${crcs.length} payloads are said to be filled`;
      throw new StoreError('INVALID', `${got}; ${group.payloads.length} are due`);
    }
    this.#lent.shift();
    // Whoever filled it computed the checksum from what it copied; it is compared before an upload.
    group.payloads.forEach((payload, at) => {
      const { index, length } = this.#expected[group.start + at];
      this.#received.push({ index, length, payload, crc: crcs[at], verifying: Promise.resolve() });
    });
    this.#next += crcs.length;
    this.#noteArrival();
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
    this.#current = { notice, into: this.#memory.take(length) };
    this.#filled = 0;
    if (length === 0) this.#finish();
  }

  target(length: number): Uint8Array {
    const { into } = this.#current ?? noPayload;
    if (length === 0 || this.#filled + length > into.length) {
      const rest = into.length - this.#filled;
      throw new StoreError('INVALID', `a piece of ${length} bytes; ${rest} are due`);
    }
    this.#isReading = true;
    return into.subarray(this.#filled, this.#filled + length);
  }

  filled(length: number): void {
    this.#isReading = false;
    if (this.#isDiscarded) return this.#giveCurrent();
    this.#filled += length;
    if (this.#filled === this.#current?.into.length) this.#finish();
  }

  /** The payload that was coming when the intake was discarded. */
  #giveCurrent(): void {
    if (!this.#isDiscarded || this.#isReading || this.#current === undefined) return;
    this.#memory.give(this.#current.into);
    this.#current = undefined;
  }

  #finish(): void {
    assert(this.#current !== undefined, 'a payload is whole');
    const { notice, into } = this.#current;
    const { index, length, crc } = notice;
    this.#current = undefined;
    this.#next += 1;
    const sum = this.#checksums.of(into);
    const compare = (computed: number): void => {
      if (computed !== crc) this.#refuse(index);
    };
    const verifying = typeof sum === 'number' ? Promise.resolve() : sum.then(compare);
    if (typeof sum === 'number') compare(sum);
    this.#received.push({ index, length, payload: into, crc, verifying });
    this.#noteArrival();
  }

  #noteArrival(): void {
    if (this.#next >= (this.#waiting?.until ?? Infinity)) this.#waiting?.arrival.resolve();
  }

  /** Whoever waits learns at once, also when more was to come. */
  #refuse(index: number): void {
    const message = `payload ${index} was damaged on its way: its checksum does not hold`;
    this.#failure ??= new StoreError('CORRUPT', message);
    this.#waiting?.arrival.reject(this.#failure);
  }
}

const noPayload = { into: new Uint8Array(0) };
