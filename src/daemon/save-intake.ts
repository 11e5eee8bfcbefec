import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import type { InflatedPayloads, InflatingPayload } from '../wire/inflated-payloads.ts';
import { refuseCompressed } from '../wire/wire-link.ts';
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
  readonly #inflating: InflatedPayloads | undefined;
  /** `into` is the memory that bytes come into: the payload's, or that of what it is made of. */
  #current: Coming | undefined;
  #filled = 0;
  /** With the comparison of its checksum, which may still be under way. */
  readonly #received: (ReceivedPayload & {
    readonly verifying: Promise<void>;
    readonly isInflated?: boolean;
  })[] = [];
  #waiting: { readonly until: number; readonly arrival: Deferred<void> } | undefined;
  #failure: StoreError | undefined;
  /** There was no memory for a payload: that and what comes behind it is dropped until the save has ended. */
  #isDropping = false;
  /** Memory that the client fills by itself, by groups; the first is due first. */
  #lent: { readonly start: number; readonly payloads: readonly Uint8Array[] }[] = [];
  /** A piece is being read into the current payload. */
  #isReading = false;
  #isDiscarded = false;

  constructor(
    expected: readonly ExpectedPayload[],
    parts: {
      readonly memory: IntakeMemory;
      readonly checksums: Checksums;
      /** What payloads that come compressed become payloads by; undefined: none may come so. */
      readonly inflating?: InflatedPayloads | undefined;
    },
  ) {
    this.#expected = expected;
    this.#memory = parts.memory;
    this.#checksums = parts.checksums;
    this.#inflating = parts.inflating;
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
    for (const { payload, verifying, isInflated } of this.#received.splice(0)) {
      const give = (): void => this.#memory.give(payload);
      // A thread may still be writing there.
      if (isInflated === true) verifying.then(give, give);
      else give();
    }
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
    if (this.#isDropping) return;
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
    if (this.#isDropping) return;
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
    refuseCompressed(notice.compressed, this.#inflating !== undefined);
    this.#granted -= length;
    this.#filled = 0;
    try {
      this.#current = this.#comingOf(notice);
    } catch (error) {
      if (!isStoreError(error, 'BUSY')) throw error;
      this.#isDropping = true;
      this.#fail(error);
      return;
    }
    if (length === 0) this.#finish();
  }

  #comingOf(notice: PayloadNotice): Coming {
    const { compressed: form } = notice;
    const payload = this.#memory.take(notice.length);
    if (form === undefined || this.#inflating === undefined) return { notice, into: payload };
    try {
      const inflating = this.#inflating.begin(form, payload);
      return { notice, into: inflating.stored, inflating };
    } catch (error) {
      this.#memory.give(payload);
      throw error;
    }
  }

  target(length: number): Uint8Array | undefined {
    if (this.#isDropping) return undefined;
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
    const { into, inflating } = this.#current;
    this.#memory.give(inflating?.payload ?? into);
    inflating?.giveUp();
    this.#current = undefined;
  }

  #finish(): void {
    assert(this.#current !== undefined, 'a payload is whole');
    const { notice, into, inflating } = this.#current;
    const { index, length, crc } = notice;
    this.#current = undefined;
    this.#next += 1;
    const compare = (computed: number): void => {
      if (computed !== crc) this.#refuse(index);
    };
    if (inflating !== undefined) {
      const { payload } = inflating;
      const verifying = inflating.finish().then(compare, (error: unknown) => {
        this.#refuse(index, error);
      });
      this.#received.push({ index, length, payload, crc, verifying, isInflated: true });
      this.#noteArrival();
      return;
    }
    const sum = this.#checksums.of(into);
    const verifying = typeof sum === 'number' ? Promise.resolve() : sum.then(compare);
    if (typeof sum === 'number') compare(sum);
    this.#received.push({ index, length, payload: into, crc, verifying });
    this.#noteArrival();
  }

  #noteArrival(): void {
    if (this.#next >= (this.#waiting?.until ?? Infinity)) this.#waiting?.arrival.resolve();
  }

  /** Whoever waits learns at once, also when more was to come. The cause is absent where only the checksum differs. */
  #refuse(index: number, cause?: unknown): void {
    const why = cause === undefined ? 'its checksum does not hold' : messageOf(cause);
    const code = cause === undefined ? 'CORRUPT' : codeOf(cause);
    const what = code === 'CORRUPT' ? 'was damaged on its way' : 'cannot be read';
    this.#fail(new StoreError(code, `payload ${index} ${what}: ${why}`, { cause }));
  }

  #fail(failure: StoreError): void {
    this.#failure ??= failure;
    this.#waiting?.arrival.reject(this.#failure);
  }
}

const noPayload = { into: new Uint8Array(0) };

/** A thread that has no memory is no fault of the bytes, nor of the daemon. */
function codeOf(cause: unknown): StoreErrorCode {
  const isKnown = isStoreError(cause, 'CORRUPT') || isStoreError(cause, 'BUSY');
  return isKnown ? cause.code : 'UNAVAILABLE';
}

/** A payload on its way in. */
interface Coming {
  readonly notice: PayloadNotice;
  readonly into: Uint8Array;
  readonly inflating?: InflatingPayload;
}
