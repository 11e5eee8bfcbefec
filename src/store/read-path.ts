import { isStoreError } from '../base/errors.ts';
import { mapBounded } from '../base/map-bounded.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Borrow, LoadedBlock, LoadOptions, Lookup, MissReason } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { idText } from '../cache/cache-entry.ts';
import type { PayloadFacts } from '../cache/cache-entry.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { searchChain } from '../catalog/chain-search.ts';
import type { ChainSource } from '../catalog/chain-search.ts';
import type { Clock } from '../platform/clock.ts';
import { Call } from './call.ts';
import type { Counters } from './counters.ts';
import { Flights } from './flights.ts';
import type { Acquired } from './flights.ts';
import type { ObjectTier } from './object-tier.ts';
import type { FetchedPayload, PayloadRef } from './payload-objects.ts';

/** What a caller wants of the payloads that it loads. */
export type LoadWish = Pick<LoadOptions, 'exact' | 'fingerprint'>;

export interface ReadPathParts {
  readonly clock: Clock;
  readonly cache: LocalCache;
  readonly catalog: Catalog;
  readonly objectTier: ObjectTier;
  readonly counters: Counters;
  /** Deadline of one fetch, which may serve several callers. */
  readonly loadDeadlineMs: number;
}

/**
 * Finds and brings payloads: memory, then disk, then the object store; one flight per payload. What
 * cannot be had is a reason, never an error.
 */
export class ReadPath {
  readonly #parts: ReadPathParts;
  readonly #flights: Flights<MissReason>;

  constructor(parts: ReadPathParts) {
    this.#parts = parts;
    this.#flights = new Flights(parts.clock);
  }

  /** The number of leading blocks that are stored anywhere. */
  async lookup(namespace: Namespace, keys: readonly BlockKey[], call: Call): Promise<Lookup> {
    let progress = 0;
    let reason: MissReason = 'unknown';
    const source = this.#chainSource(namespace, keys, call.signal);
    try {
      const search = searchChain(keys, source, (matched) => {
        progress = matched;
      });
      progress = await call.race(search);
    } catch (error) {
      reason = this.reasonOrThrow(error, call);
    }
    if (progress === keys.length) return { matched: progress, reason: undefined };
    const next = blockRef(namespace, keys[progress]);
    const { catalog } = this.#parts;
    if (catalog.corruptObject(next) !== undefined) reason = 'corrupt';
    else if (reason === 'unknown') reason = catalog.absenceReason(next);
    return { matched: progress, reason };
  }

  /** For each block whether it is stored. What the object store does not tell counts as absent. */
  async contains(
    namespace: Namespace,
    keys: readonly BlockKey[],
    call: Call,
  ): Promise<readonly boolean[]> {
    const { cache } = this.#parts;
    const isThere = async (key: BlockKey): Promise<boolean> => {
      const ref = blockRef(namespace, key);
      if (this.#isCertain(ref)) return true;
      if (this.#parts.catalog.isAbsent(ref)) return false;
      try {
        return await call.race(this.#parts.objectTier.confirm(ref, call.signal));
      } catch (error) {
        this.reasonOrThrow(error, call);
        return false;
      }
    };
    const present = await mapBounded(keys, limits.fetchesInFlightMax, isThere);
    // The first is touched last, and evicted last: without it the others are worth nothing.
    for (let i = keys.length - 1; i >= 0; i -= 1) cache.touch(blockRef(namespace, keys[i]));
    return present;
  }

  /** The leading blocks, pinned, and why the next one could not be had. */
  async load(
    namespace: Namespace,
    keys: readonly BlockKey[],
    call: Call,
    wish: LoadWish = {},
  ): Promise<Borrow> {
    const found: (Acquired | undefined)[] = [];
    let next = this.#pinLeading(namespace, keys, found);
    let end = keys.length;
    let reason: MissReason | undefined;
    let failure: unknown;
    const lane = async (): Promise<void> => {
      while (next < end) {
        const index = next;
        next += 1;
        try {
          const result = await this.acquire(blockRef(namespace, keys[index]), call);
          if (typeof result !== 'string') found[index] = result;
          else if (index < end) [end, reason] = [index, result];
        } catch (error) {
          failure ??= error;
          end = Math.min(end, index);
        }
      }
    };
    await Promise.all(Array.from({ length: limits.loadsInFlightMax }, lane));
    for (const [index, one] of found.slice(0, end).entries()) {
      const refusal = one === undefined ? undefined : refusalOf(one.facts, wish);
      if (refusal === undefined) continue;
      [end, reason] = [index, refusal];
      break;
    }
    const taken = failure === undefined ? end : 0;
    for (const extra of found.splice(taken)) extra?.pinned.extent.unpin();
    if (failure !== undefined) throw failure;
    return this.#borrowOf(found, reason);
  }

  /** One payload, pinned for the caller, or why it cannot be had. Rejects only when aborted. */
  async acquire(ref: PayloadRef, call: Call): Promise<Acquired | MissReason> {
    const resident = this.#pinIfResident(ref);
    if (resident !== undefined) return resident;
    const key = this.#flightKey(ref);
    return this.#board(key, (signal) => this.#bring(ref, signal), call);
  }

  /** The same, of memory and disk alone. */
  async acquireLocal(ref: PayloadRef, call: Call): Promise<Acquired | MissReason> {
    const resident = this.#pinIfResident(ref);
    if (resident !== undefined) return resident;
    const entry = this.#parts.cache.find(ref);
    if (entry === undefined) return 'unknown';
    // What replaced it by now does not wait for it, and gets its own bytes.
    const key = `local ${entry.sequence} ${idText(ref)}`;
    const bring = async (): Promise<Acquired | MissReason> =>
      (await this.#bringFromDisk(ref)) ?? 'unavailable';
    return this.#board(key, bring, call);
  }

  async #board(
    key: string,
    start: (signal: AbortSignal) => Promise<Acquired | MissReason>,
    call: Call,
  ): Promise<Acquired | MissReason> {
    try {
      return await this.#flights.board(key, start, call);
    } catch (error) {
      return this.reasonOrThrow(error, call);
    }
  }

  /** What is on disk by now does not wait for an answer of the object store from before. */
  #flightKey(ref: PayloadRef): string {
    const from = this.#parts.cache.find(ref)?.disk === undefined ? 'object' : 'disk';
    return `${from} ${idText(ref)}`;
  }

  /** The payload if memory holds it. */
  #pinIfResident(ref: PayloadRef): Acquired | undefined {
    const entry = this.#parts.cache.find(ref);
    const pinned = entry === undefined ? undefined : this.#parts.cache.pinResident(entry);
    if (entry === undefined || pinned === undefined) return undefined;
    return { facts: entry.facts, pinned, tier: 'memory' };
  }

  /** Pins resident blocks from the first on, without waiting for anything; resolves to how many. */
  #pinLeading(
    namespace: Namespace,
    keys: readonly BlockKey[],
    found: (Acquired | undefined)[],
  ): number {
    let count = 0;
    for (; count < keys.length; count += 1) {
      const resident = this.#pinIfResident(blockRef(namespace, keys[count]));
      if (resident === undefined) break;
      found.push(resident);
    }
    return count;
  }

  async #bring(ref: PayloadRef, signal: AbortSignal): Promise<Acquired | MissReason> {
    const fromDisk = await this.#bringFromDisk(ref);
    const isLocal = typeof fromDisk === 'object';
    let result = isLocal ? fromDisk : await this.#bringFromObject(ref, signal);
    const isGone = result === 'unknown' || result === 'evicted';
    if (fromDisk === 'corrupt' && isGone) result = 'corrupt';
    return result;
  }

  /** Undefined when the disk does not have it, or refuses to give it. */
  async #bringFromDisk(ref: PayloadRef): Promise<Acquired | 'corrupt' | undefined> {
    const { cache, counters } = this.#parts;
    const entry = cache.find(ref);
    if (entry?.disk === undefined) return this.#pinIfResident(ref);
    try {
      const pinned = await cache.readFromDisk(entry);
      return pinned === undefined ? 'corrupt' : { facts: entry.facts, pinned, tier: 'disk' };
    } catch (error) {
      // What the disk refuses to give is in the object store too, unless it is pending.
      if (entry.isPending || !isStoreError(error, 'UNAVAILABLE')) throw error;
      counters.lastFailure = error.message;
    }
    return undefined;
  }

  async #bringFromObject(ref: PayloadRef, signal: AbortSignal): Promise<Acquired | MissReason> {
    const { cache, catalog, objectTier } = this.#parts;
    const fetched = await this.untilDeadline(signal, (within) => objectTier.fetch(ref, within));
    if (typeof fetched === 'string') return fetched;
    const { facts, extent, payload, following } = fetched;
    for (const key of following) catalog.hope(blockRef(ref.namespace, key));
    cache.admit(facts, extent, payload);
    return { facts, pinned: { extent, payload }, tier: 'object' };
  }

  /** A fetch of the object store, which has the time of a load. */
  untilDeadline<Miss extends string>(
    signal: AbortSignal,
    fetch: (signal: AbortSignal) => Promise<FetchedPayload | Miss>,
  ): Promise<FetchedPayload | Miss | 'deadline'> {
    const { clock, loadDeadlineMs } = this.#parts;
    return Call.run(clock, { signal }, loadDeadlineMs, async (call) => {
      const fetching = fetch(call.signal);
      try {
        return await call.race(fetching);
      } catch (error) {
        // What comes after the deadline is given back; nobody waits for it.
        void fetching.then(releaseFetched, () => undefined);
        if (isStoreError(error, 'ABORTED')) return 'deadline';
        throw error;
      }
    });
  }

  #isCertain(ref: PayloadRef): boolean {
    const { cache, catalog } = this.#parts;
    return cache.find(ref) !== undefined || catalog.presence(ref) === 'confirmed';
  }

  #chainSource(namespace: Namespace, keys: readonly BlockKey[], signal: AbortSignal): ChainSource {
    const { catalog, objectTier } = this.#parts;
    const refAt = (index: number): PayloadRef => blockRef(namespace, keys[index]);
    return {
      isCertain: (index) => this.#isCertain(refAt(index)),
      isKnown: (index) =>
        this.#isCertain(refAt(index)) || catalog.presence(refAt(index)) === 'listed',
      knownEnd: (from) => this.#knownEnd(namespace, keys, from),
      isAbsent: (index) => catalog.isAbsent(refAt(index)),
      readFollowing: async (index) =>
        (await objectTier.readFollowing(refAt(index), signal))?.following,
      confirm: (index) => objectTier.confirm(refAt(index), signal),
      hope: (index) => {
        if (index < keys.length) catalog.hope(refAt(index));
      },
    };
  }

  /** What is not here the catalog is asked for, many blocks at once. */
  #knownEnd(namespace: Namespace, keys: readonly BlockKey[], from: number): number {
    const { cache, catalog } = this.#parts;
    let end = from;
    while (end < keys.length) {
      const isHere = cache.find(blockRef(namespace, keys[end])) !== undefined;
      const known = isHere ? 1 : catalog.leadingBlocks(namespace, keys, end);
      if (known === 0) break;
      end += known;
    }
    return end;
  }

  /** The reason for a storage fault; the caller's own abort and faults of ours are thrown on. */
  reasonOrThrow(error: unknown, call: Call): MissReason {
    if (!isStoreError(error)) throw error;
    if (error.code === 'ABORTED') {
      if (call.isExpired) return 'deadline';
      throw error;
    }
    this.#parts.counters.lastFailure = error.message;
    return error.code === 'CLOSED' ? 'closed' : 'unavailable';
  }

  #borrowOf(found: readonly (Acquired | undefined)[], reason: MissReason | undefined): Borrow {
    const { counters } = this.#parts;
    const blocks: LoadedBlock[] = [];
    const extents = found.map((one) => {
      if (one === undefined) throw new RangeError('a block before the end is missing');
      const { facts, pinned, tier } = one;
      const { key, tokens, hasDecodedTokens, crc } = facts;
      blocks.push({ key, payload: pinned.payload, tokens, hasDecodedTokens, tier, crc });
      counters.addHit(tier, facts.length);
      return pinned.extent;
    });
    if (reason !== undefined) counters.misses[reason] += 1;
    return {
      blocks,
      reason,
      release: () => {
        // What was used last is evicted last, and a chain without its beginning is worth nothing.
        for (const extent of extents.splice(0).reverse()) extent.unpin();
      },
    };
  }
}

/** The reference of a block. */
export function blockRef(namespace: Namespace, key: BlockKey): PayloadRef {
  return { namespace, kind: 'block', key, parent: undefined, tokens: 0 };
}

/** Why a payload that is there is none for the caller; undefined when it is. */
export function refusalOf(
  facts: Pick<PayloadFacts, 'fingerprint' | 'hasDecodedTokens'>,
  wish: LoadWish,
): 'other-fingerprint' | 'decoded' | undefined {
  const isOther =
    isKnown(wish.fingerprint) &&
    isKnown(facts.fingerprint) &&
    wish.fingerprint !== facts.fingerprint;
  if (isOther) return 'other-fingerprint';
  return wish.exact === true && facts.hasDecodedTokens ? 'decoded' : undefined;
}

/** In a frame zeros mean that nobody knows. */
function isKnown(fingerprint: string | undefined): boolean {
  return fingerprint !== undefined && !/^0*$/.test(fingerprint);
}

function releaseFetched(fetched: FetchedPayload | string): void {
  if (typeof fetched !== 'string') fetched.extent.unpin();
}
