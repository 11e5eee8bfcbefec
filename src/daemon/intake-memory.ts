import type { LentPlace, PayloadLease, ServedStore } from '../blocks/served-store.ts';

/** Shorter payloads are copied as fast as memory for them is lent. */
const lentBytesMin = 64 * 1024;

/** Where memory for payloads is kept for the next ones. */
export interface PayloadPool {
  /**
   * Memory of exactly that length.
   *
   * @throws StoreError `BUSY` when the system has none.
   */
  take(length: number): Uint8Array;
  give(payload: Uint8Array): void;
}

/** Memory that another process fills. */
export interface LentMemory {
  readonly payload: Uint8Array;
  readonly place: LentPlace;
}

/**
 * Memory for the payloads of a save on their way in: that of the store, where they are accepted as they lie,
 * as long as it lends any, and else of the pool.
 */
export class IntakeMemory {
  readonly #store: Pick<ServedStore, 'lease'>;
  readonly #pool: PayloadPool;
  readonly #leases = new Map<Uint8Array, PayloadLease>();

  constructor(store: Pick<ServedStore, 'lease'>, pool: PayloadPool) {
    this.#store = store;
    this.#pool = pool;
  }

  /** As {@link PayloadPool.take}. */
  take(length: number): Uint8Array {
    const lease = length < lentBytesMin ? undefined : this.#store.lease(length);
    if (lease === undefined) return this.#pool.take(length);
    this.#leases.set(lease.payload, lease);
    return lease.payload;
  }

  /**
   * Memory of the store for payloads of these lengths that a process of this host fills itself. Undefined when the
   * store does not lend all of it, or when they are so short that they come as fast over a socket.
   */
  lend(lengths: readonly number[]): readonly LentMemory[] | undefined {
    const lent: LentMemory[] = [];
    for (const length of lengths) {
      const lease = length < lentBytesMin ? undefined : this.#store.lease(length);
      if (lease !== undefined) this.#leases.set(lease.payload, lease);
      const place = lease?.lend();
      if (lease === undefined || place === undefined) {
        if (lease !== undefined) this.give(lease.payload);
        for (const { payload } of lent) this.give(payload);
        return undefined;
      }
      lent.push({ payload: lease.payload, place });
    }
    return lent;
  }

  /** Nobody writes there any more, and whoever wanted it has it. */
  give(payload: Uint8Array): void {
    if (!this.giveLent(payload)) this.#pool.give(payload);
  }

  /** The same, unless it is memory of the pool: then false, and nothing is given. */
  giveLent(payload: Uint8Array): boolean {
    const lease = this.#leases.get(payload);
    if (lease === undefined) return false;
    this.#leases.delete(payload);
    lease.release();
    return true;
  }
}
