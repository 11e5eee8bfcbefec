import type { Deferred } from '../base/deferred.ts';
import type { CacheEntry } from '../cache/cache-entry.ts';

/**
 * Those who wait for raw tails that were replaced before they were brought to the bucket. They are durable with what
 * replaced them, which comes behind.
 */
export class ReplacedUploads {
  readonly #waiting = new Map<string, Deferred<void>[]>();

  /** The entry was replaced, and `done` waits for its upload. */
  add(entry: CacheEntry, done: Deferred<void>): void {
    const id = tipText(entry);
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) this.#waiting.set(id, [done]);
    else waiting.push(done);
  }

  /** Those that end with the upload of the entry. */
  take(entry: CacheEntry): readonly Deferred<void>[] {
    const id = tipText(entry);
    const waiting = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    return waiting;
  }
}

/** Names the tip of a raw tail. */
export function tipText({ facts }: CacheEntry): string {
  return `${facts.key}${facts.namespace}`;
}
