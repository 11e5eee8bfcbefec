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
    const text = textOf(id);
    const under = this.#last.get(text);
    if (under !== undefined && nowMs - under.beganMs < this.#freshMs) return under;
    // An answer that comes later, of a request that was sent earlier, is older.
    if (under !== undefined) under.isOvertaken = true;
    this.#begun += 1;
    const fetch = { number: this.#begun, beganMs: nowMs, isOvertaken: false };
    this.#last.set(text, fetch);
    return fetch;
  }

  /** It has ended, and what it brought is kept or is not. */
  end(id: PayloadId, fetch: RawTailFetch): void {
    const text = textOf(id);
    if (this.#last.get(text) === fetch) this.#last.delete(text);
  }

  /** Something newer came under the tip, or what was there was removed. */
  overtake(id: PayloadId): void {
    const text = textOf(id);
    const under = this.#last.get(text);
    if (under === undefined) return;
    under.isOvertaken = true;
    this.#last.delete(text);
  }
}

function textOf({ key, namespace }: PayloadId): string {
  return `${key}${namespace}`;
}
