import { limits } from '../blocks/limits.ts';
import type { LentPlace, PayloadLease } from '../blocks/served-store.ts';
import type { CommitRing } from '../cache/commit-ring.ts';
import { DamagedRing } from '../cache/ring-layout.ts';
import type { RingBlock, RingLoan } from '../cache/ring-layout.ts';

/** What all rings of a store may lend. */
export interface LoanBudget {
  /** Of all loans; whoever lends counts them here. */
  bytes: number;
  count: number;
  readonly bytesMax: number;
  /** Memory for one payload; undefined when there is none. */
  lease(length: number): PayloadLease | undefined;
  /** Whether so much more could be accepted if all of it came. */
  hasRoomFor(bytes: number, count: number): boolean;
}

interface Loan {
  readonly lease: PayloadLease;
  readonly place: LentPlace;
}

/**
 * Memory that is lent in one ring ahead of need: the client fills it and leaves an entry that refers to it, and that is
 * all. So nothing is taken back by itself: what the client may have referred to is known only when the ring is closed
 * and its entries are taken out. Then all of it is released (docs/decisions/0105).
 */
export class RingLoans {
  readonly #ring: CommitRing;
  readonly #budget: LoanBudget;
  /** By number, the oldest first. All are for payloads of one length. */
  readonly #loans = new Map<number, Loan>();
  #length = 0;

  constructor(ring: CommitRing, budget: LoanBudget) {
    this.#ring = ring;
    this.#budget = budget;
  }

  /** True when the client wants memory for another length than it has: the ring has to go for that. */
  get isOutlived(): boolean {
    const { length, count } = this.#ring.wanted;
    return this.#loans.size > 0 && count > 0 && length !== this.#length;
  }

  get count(): number {
    return this.#loans.size;
  }

  /**
   * Lends what the client wants, as far as there is memory and room, and no more than one turn of the thread may touch:
   * the memory may be new. True when there is more to lend after other work.
   */
  renew(): boolean {
    const { length, count } = this.#ring.wanted;
    if (this.#ring.isClosed || this.isOutlived || !isLendable(length)) return false;
    const most = Math.floor(limits.ringLoanedBytesMax / length);
    const wanted = Math.min(count, most, limits.ringLoansMax);
    this.#length = length;
    for (let turnBytes = 0; this.#loans.size < wanted; turnBytes += length) {
      if (turnBytes >= limits.turnBytesMax) return true;
      if (!this.#lendOne()) return false;
    }
    return false;
  }

  /** The payload that lies in the memory. */
  payloadOf(loan: RingLoan, { length }: Pick<RingBlock, 'length'>): Uint8Array {
    const own = this.#loans.get(loan.number);
    const isOwn = own?.place.segment === loan.segment && own.place.offset === loan.offset;
    if (own !== undefined && isOwn && length === own.lease.payload.length) return own.lease.payload;
    throw new DamagedRing(`an entry refers to memory that is not lent: ${loan.number}`);
  }

  /** What the entry referred to is accepted, or was stored already, and the entry is taken out. */
  settle(blocks: readonly RingBlock[]): void {
    for (const { payload } of blocks) {
      if (!(payload instanceof Uint8Array)) this.#release(payload.number);
    }
  }

  /** The ring is closed, everything is taken out of it, and nobody will read it again. */
  close(): void {
    for (const number of [...this.#loans.keys()]) this.#release(number);
  }

  #lendOne(): boolean {
    const bytes = this.#length;
    const { bytes: lent, bytesMax } = this.#budget;
    if (lent + bytes > bytesMax || !this.#budget.hasRoomFor(bytes, 1)) return false;
    const lease = this.#budget.lease(bytes);
    const place = lease?.lend();
    if (lease === undefined || place === undefined) {
      lease?.release();
      return false;
    }
    this.#loans.set(place.number, { lease, place });
    this.#budget.bytes += bytes;
    this.#budget.count += 1;
    this.#ring.offer(place, bytes);
    return true;
  }

  #release(number: number): void {
    const loan = this.#loans.get(number);
    if (loan === undefined) return;
    this.#loans.delete(number);
    this.#budget.bytes -= loan.lease.payload.length;
    this.#budget.count -= 1;
    loan.lease.release();
  }
}

function isLendable(length: number): boolean {
  return length > 0 && length <= Math.min(limits.payloadBytesMax, limits.ringLoanedBytesMax);
}
