import type { ObjectVerb } from './object-store.ts';

/**
 * What a request costs: `write` is the dear class of AWS and most others (put, list, every step of
 * an upload), `read` the cheap one (get, head), `free` has no price (delete).
 */
export type MoneyClass = 'write' | 'read' | 'free';

/** Requests by what they cost. */
export type BilledRequests = Readonly<Record<MoneyClass, number>>;

/**
 * Counts requests as the bill does: those that went over the wire, also the ones that a store makes
 * for one call or a second time. A store without a bill never adds to it.
 */
export class RequestLedger {
  readonly #counts: Record<MoneyClass, number> = { write: 0, read: 0, free: 0 };

  add(moneyClass: MoneyClass): void {
    this.#counts[moneyClass] += 1;
  }

  /** The counts now. Later requests do not change it. */
  snapshot(): BilledRequests {
    return { ...this.#counts };
  }
}

/** The class of a request of that kind. */
export function moneyClassOf(verb: ObjectVerb): MoneyClass {
  switch (verb) {
    case 'put':
    case 'list':
      return 'write';
    case 'get':
    case 'head':
      return 'read';
    case 'delete':
      return 'free';
    default:
      return verb satisfies never;
  }
}
