import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import type { BulkPlaces } from '../protocol/http1-sink.ts';
import type { IntakeMemory } from './intake-memory.ts';
import type { GroupedPayloads, SaveGroup } from './save-groups.ts';
import type { ExpectedPayload, ReceivedPayload } from './save-intake.ts';

/** What of a body is to come, in that order, and what of it is stored together. */
export interface ArrivalPlan {
  readonly expected: readonly ExpectedPayload[];
  readonly groups: readonly SaveGroup[];
}

/** With the comparison of its checksum, which may still be under way. */
type Arrived = ReceivedPayload & { readonly checking: Promise<void> };

/**
 * Payloads of a bulk body on their way to the store. Each gets its memory when it is the next to come, so that a
 * client which is slow holds what it has sent and no more.
 */
export class PayloadArrivals implements BulkPlaces, GroupedPayloads {
  readonly #memory: IntakeMemory;
  readonly #plan: ArrivalPlan;
  #coming: Uint8Array | undefined;
  /** Come, and not given. */
  #arrived: Arrived[] = [];
  #count = 0;
  /** Groups that were given. */
  #given = 0;
  /** Of the group given last, until the store has them. */
  #unstored: readonly ReceivedPayload[] = [];
  #waiting: { readonly until: number; readonly arrival: Deferred<void> } | undefined;
  /** Nobody takes payloads any more: what still comes is dropped. */
  #isOver = false;
  /** There was no memory for a payload: nobody will take any more. */
  #failure: StoreError | undefined;

  constructor(memory: IntakeMemory, plan: ArrivalPlan) {
    this.#memory = memory;
    this.#plan = plan;
  }

  take(record: number): Uint8Array | undefined {
    const { index, length } = this.#plan.expected[this.#count];
    assert(index === record, 'payloads come in the order that was said');
    const isDropped = this.#isOver || this.#failure !== undefined;
    this.#coming = isDropped ? undefined : this.#takeOrFail(length);
    if (this.#coming === undefined) this.#count += 1;
    return this.#coming;
  }

  refused(_record: number, why: StoreError): void {
    this.close();
    this.#count += 1;
    this.#fail(why);
  }

  #takeOrFail(length: number): Uint8Array | undefined {
    try {
      return this.#memory.take(length);
    } catch (error) {
      if (!isStoreError(error, 'BUSY')) throw error;
      this.#fail(error);
      return undefined;
    }
  }

  #fail(why: StoreError): void {
    this.#failure ??= why;
    this.#waiting?.arrival.reject(this.#failure);
  }

  came(_record: number, crc: number, checking = Promise.resolve()): void {
    const payload = this.#coming;
    assert(payload !== undefined, 'what has come was coming');
    const { index, length } = this.#plan.expected[this.#count];
    this.#coming = undefined;
    this.#count += 1;
    if (this.#isOver) {
      this.#giveChecked(payload, checking);
      return;
    }
    this.#arrived.push({ index, length, payload, crc, checking });
    if (this.#count === this.#waiting?.until) this.#waiting.arrival.resolve();
  }

  async nextGroup(): Promise<{
    readonly received: readonly ReceivedPayload[];
    readonly isLast: boolean;
  }> {
    const { groups } = this.#plan;
    const start = this.#given === 0 ? 0 : groups[this.#given - 1].end;
    const { end } = groups[this.#given];
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#count < end) await this.#arrival(end);
    const received = this.#arrived.slice(0, end - start);
    await Promise.all(received.map(({ checking }) => checking));
    if (this.#isOver) throw ended();
    this.#arrived = this.#arrived.slice(received.length);
    this.#given += 1;
    this.#unstored = received;
    return { received, isLast: this.#given === groups.length };
  }

  stored(received: readonly ReceivedPayload[]): void {
    for (const { payload } of received) this.#memory.give(payload);
    this.#unstored = [];
  }

  /** Once nothing of the save is under way: the store has answered what it was asked to store. */
  finish(): void {
    this.#isOver = true;
    this.#waiting?.arrival.reject(ended());
    for (const { payload, checking } of this.#arrived.splice(0))
      this.#giveChecked(payload, checking);
    // The store refused them. An upload that nobody waits for may still read what came into other memory.
    for (const { payload } of this.#unstored) this.#memory.giveLent(payload);
    this.#unstored = [];
  }

  /** Nothing is read into the memory any more that was given for what comes. */
  close(): void {
    if (this.#coming !== undefined) this.#memory.give(this.#coming);
    this.#coming = undefined;
  }

  /** A thread may write there until it has been checked. */
  #giveChecked(payload: Uint8Array, checking: Promise<void>): void {
    const give = (): void => this.#memory.give(payload);
    checking.then(give, give);
  }

  async #arrival(until: number): Promise<void> {
    assert(this.#waiting === undefined, 'one at a time waits for payloads');
    const arrival = deferred<void>();
    this.#waiting = { until, arrival };
    try {
      await arrival.promise;
    } finally {
      this.#waiting = undefined;
    }
  }
}

function ended(): StoreError {
  return new StoreError('ABORTED', 'the save has ended');
}
