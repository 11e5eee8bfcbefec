import { idText } from './cache-entry.ts';
import type { PayloadId } from './cache-entry.ts';

/** A raw tail that is being fetched from the object store. */
export interface RawTailFetch {
  /** No other fetch of the process has it. */
  readonly number: number;
  /** The object may have been replaced since. */
  readonly beganMs: number;
  /** What it brings is older than what was saved or removed here meanwhile, and is not kept. */
  readonly isOvertaken: boolean;
}

type Fetch = { -readonly [Field in keyof RawTailFetch]: RawTailFetch[Field] };

/**
 * Fetches of raw tails under way, the last one of each tip. A raw tail is replaced in place, so what a request
 * brings is only good when nothing was saved or removed under the tip since it was sent.
 */
export class RawTailFetches {
  readonly #freshMs: number;
  readonly #last = new Map<string, Fetch>();
  #begun = 0;

  /** A fetch that began so long ago may not answer for one that begins now. */
  constructor(freshMs: number) {
    this.#freshMs = freshMs;
  }

  /** The fetch that one who asks now may share; a new one when there is none. */
  begin(id: PayloadId, nowMs: number): RawTailFetch {
    const tip = idText(id);
    const under = this.#last.get(tip);
    if (under !== undefined && nowMs - under.beganMs < this.#freshMs) return under;
    // An answer that comes later, of a request that was sent earlier, is older.
    if (under !== undefined) under.isOvertaken = true;
    this.#begun += 1;
    const fetch = { number: this.#begun, beganMs: nowMs, isOvertaken: false };
    this.#last.set(tip, fetch);
    return fetch;
  }

  /** It has ended, and what it brought is kept or is not. */
  end(id: PayloadId, fetch: RawTailFetch): void {
    const tip = idText(id);
    if (this.#last.get(tip) === fetch) this.#last.delete(tip);
  }

  /** Something newer came under the tip, or what was there was removed. */
  overtake(id: PayloadId): void {
    const tip = idText(id);
    const under = this.#last.get(tip);
    if (under === undefined) return;
    under.isOvertaken = true;
    this.#last.delete(tip);
  }
}
