import type { Deferred } from '../base/deferred.ts';
import { idText } from '../cache/cache-entry.ts';
import type { PayloadId } from '../cache/cache-entry.ts';

/**
 * Those who wait for raw tails that were replaced before they were brought to the bucket. They are durable with what
 * replaced them, which comes behind.
 */
export class ReplacedUploads {
  readonly #waiting = new Map<string, Deferred<void>[]>();

  /** It was replaced, and `done` waits for its upload. */
  add(rawTail: PayloadId, done: Deferred<void>): void {
    const id = idText(rawTail);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) this.#waiting.set(id, [done]);
    else waiting.push(done);
  }

  /** Those that end with its upload. */
  take(rawTail: PayloadId): readonly Deferred<void>[] {
    const id = idText(rawTail);
    const waiting = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    return waiting;
  }
}
