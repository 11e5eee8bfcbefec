import type { MissReason } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { CacheEntry } from '../cache/cache-entry.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { RawTailFetch } from '../cache/raw-tail-fetches.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Clock } from '../platform/clock.ts';
import type { Call } from './call.ts';
import { Flights } from './flights.ts';
import type { Acquired } from './flights.ts';
import type { ObjectTier } from './object-tier.ts';
import type { PayloadRef } from './payload-objects.ts';
import type { ReadPath } from './read-path.ts';

export interface RawTailsParts {
  readonly clock: Clock;
  readonly cache: LocalCache;
  readonly catalog: Catalog;
  readonly objectTier: ObjectTier;
  readonly readPath: ReadPath;
}

/** What the object store says, when it brings nothing. */
type Answer = MissReason | 'unchanged';

/**
 * Reading of raw tails, which are replaced in place, here and by other hosts. A copy that is pending, or was the
 * bucket's a moment ago, is the newest. Any other is revalidated: one request brings what is there, unless that is
 * the object which the copy is of.
 */
export class RawTails {
  readonly #parts: RawTailsParts;
  readonly #flights: Flights<Answer>;

  constructor(parts: RawTailsParts) {
    this.#parts = parts;
    this.#flights = new Flights(parts.clock);
  }

  /** The bytes last saved under the tip, as far as this host can tell. */
  async acquire(ref: PayloadRef, call: Call): Promise<Acquired | MissReason> {
    const { cache, readPath } = this.#parts;
    const entry = cache.find(ref);
    const isNewest = entry !== undefined && this.#isNewest(entry);
    const answer = isNewest ? 'unchanged' : await this.#ask(ref, call);
    if (typeof answer !== 'string' || isSaidToBeGone(answer)) return answer;
    // Without an answer the copy at hand is the best that is known.
    const local = await readPath.acquireLocal(ref, call);
    if (typeof local !== 'string') return local;
    if (answer !== 'unchanged') return cache.find(ref) === undefined ? answer : local;
    if (local === 'deadline' || cache.find(ref)?.isPending === true) return local;
    // The bucket has what was dropped meanwhile, or what the disk does not give.
    cache.rawTailFetches.overtake(ref);
    const again = await this.#ask(ref, call, false);
    return again === 'unchanged' ? local : again;
  }

  #isNewest({ isPending, checkedMs }: CacheEntry): boolean {
    if (isPending) return true;
    const nowMs = this.#parts.clock.nowMs();
    return checkedMs !== undefined && nowMs - checkedMs < limits.rawTailFreshMs;
  }

  async #ask(ref: PayloadRef, call: Call, hasCopy = true): Promise<Acquired | Answer> {
    const { cache, clock, readPath } = this.#parts;
    const fetch = cache.rawTailFetches.begin(ref, clock.nowMs());
    const bring = async (signal: AbortSignal): Promise<Acquired | Answer> => {
      try {
        return await this.#bring(ref, hasCopy ? cache.find(ref) : undefined, fetch, signal);
      } finally {
        cache.rawTailFetches.end(ref, fetch);
      }
    };
    try {
      return await this.#flights.board(`${fetch.number}`, bring, call);
    } catch (error) {
      return readPath.reasonOrThrow(error, call);
    }
  }

  async #bring(
    ref: PayloadRef,
    entry: CacheEntry | undefined,
    fetch: RawTailFetch,
    signal: AbortSignal,
  ): Promise<Acquired | Answer> {
    const { cache, catalog, objectTier, readPath } = this.#parts;
    if (entry === undefined && catalog.isAbsent(ref)) return catalog.absenceReason(ref);
    const found = await readPath.untilDeadline(signal, (within) =>
      objectTier.fetchRawTail(ref, within, entry?.etag),
    );
    if (typeof found === 'string') {
      if (entry !== undefined && cache.find(ref) === entry) await this.#judge(entry, fetch, found);
      return found;
    }
    const { facts, extent, payload, etag } = found;
    // What was saved or removed since the request was sent is newer.
    if (!fetch.isOvertaken) cache.admit(facts, extent, payload, { etag, checkedMs: fetch.beganMs });
    return { facts, pinned: { extent, payload }, tier: 'object' };
  }

  /** What the answer says of the copy that was there when it was asked for, and still is. */
  async #judge(entry: CacheEntry, fetch: RawTailFetch, answer: Answer): Promise<void> {
    const { etag } = entry;
    if (answer === 'unchanged') entry.noteObject({ etag, checkedMs: fetch.beganMs });
    else if (isSaidToBeGone(answer)) await this.#parts.cache.remove(entry);
  }
}

/** True when the object store said that what it had is not there any more, or is of no use. */
function isSaidToBeGone(answer: Answer): answer is Exclude<MissReason, Outage> {
  return !(['unchanged', 'unavailable', 'deadline', 'closed'] as Answer[]).includes(answer);
}

/** Reasons for which nothing was said. */
type Outage = 'unavailable' | 'deadline' | 'closed';
