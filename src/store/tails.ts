import { isStoreError, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { MissReason, PayloadBorrow, TailBorrow, TailQuery } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { tailDigest } from '../blocks/prefix.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import { parseObjectKey as parseFormatKey, tailObjectPrefix } from '../format/object-keys.ts';
import type { ObjectInfo, ObjectStore } from '../objectstore/object-store.ts';
import type { Call } from './call.ts';
import type { Counters } from './counters.ts';
import type { Acquired } from './flights.ts';
import type { ObjectTier } from './object-tier.ts';
import type { PayloadRef } from './payload-objects.ts';
import type { RawTails } from './raw-tails.ts';
import { refusalOf } from './read-path.ts';
import type { LoadWish, ReadPath } from './read-path.ts';

export interface TailsParts {
  readonly cache: LocalCache;
  readonly objects: ObjectStore;
  readonly keyPrefix: string;
  readonly objectTier: ObjectTier;
  readonly readPath: ReadPath;
  readonly rawTails: RawTails;
  readonly counters: Counters;
  readonly logger: Logger;
}

/** A tail that may continue a prompt. */
interface TailCandidate {
  readonly digest: BlockKey;
  readonly tokens: number;
}

/**
 * Reading of tails. A bound tail names its tokens by digest, so that it can never be applied to
 * others. A raw tail is bound to its tip only, and other hosts may replace it.
 */
export class Tails {
  readonly #parts: TailsParts;

  constructor(parts: TailsParts) {
    this.#parts = parts;
  }

  /** The longest stored tail whose tokens begin the query's. */
  async load(
    namespace: Namespace,
    query: TailQuery,
    call: Call,
    wish: LoadWish = {},
  ): Promise<TailBorrow | undefined> {
    const matches = await this.#matches(namespace, query, call);
    let reason: MissReason = 'unknown';
    for (const { digest, tokens } of matches) {
      const ref: PayloadRef = {
        namespace,
        kind: 'tail',
        key: digest,
        parent: query.tip,
        tokens,
      };
      const found = await this.#parts.readPath.acquire(ref, call);
      if (typeof found === 'string') {
        reason = found;
        continue;
      }
      const refusal = refusalOf(found.facts, wish);
      if (refusal === undefined && found.facts.tokens === tokens) {
        const { hasDecodedTokens } = found.facts;
        return { ...this.#borrow(found), tokens, hasDecodedTokens };
      }
      found.pinned.extent.unpin();
      reason = refusal ?? 'corrupt';
    }
    this.#parts.counters.misses[reason] += 1;
    return undefined;
  }

  /** The bytes last saved under the tip, as far as this host can tell. */
  async loadRaw(
    namespace: Namespace,
    tip: BlockKey,
    call: Call,
  ): Promise<PayloadBorrow | undefined> {
    const { rawTails, counters } = this.#parts;
    const ref: PayloadRef = { namespace, kind: 'raw-tail', key: tip, parent: undefined, tokens: 0 };
    const found = await rawTails.acquire(ref, call);
    if (typeof found !== 'string') return this.#borrow(found);
    counters.misses[found] += 1;
    return undefined;
  }

  /** Removes the oldest durable tails of a tip that has more than it may keep. */
  async trim(namespace: Namespace, tip: BlockKey, call: Call): Promise<void> {
    const { cache, objects, objectTier } = this.#parts;
    const tails = [...cache.tailsOf(namespace, tip)].sort((a, b) => a.sequence - b.sequence);
    for (const entry of tails.slice(0, -limits.tailsPerTipMax)) {
      if (entry.isPending) continue;
      await cache.remove(entry);
      const objectKey = objectTier.objectKey(entry.facts);
      const removed = call.race(objects.delete(objectKey, { signal: call.signal }));
      await removed.catch((error: unknown) => this.#logLeftOver(objectKey, error));
    }
  }

  /** Stored tails whose tokens begin the query's, longest first. */
  async #matches(
    namespace: Namespace,
    query: TailQuery,
    call: Call,
  ): Promise<readonly TailCandidate[]> {
    const digests = new TailDigests(query);
    const local: TailCandidate[] = [];
    for (const { facts } of this.#parts.cache.tailsOf(namespace, query.tip)) {
      if (digests.matches(facts.tokens, facts.key)) {
        local.push({ digest: facts.key, tokens: facts.tokens });
      }
    }
    local.sort((a, b) => b.tokens - a.tokens);
    if (local[0]?.tokens === query.tokens.length) return local;
    const remote = await this.#listed(namespace, query.tip, call);
    const matching = remote.filter(({ digest, tokens }) => digests.matches(tokens, digest));
    return [...local, ...matching].sort((a, b) => b.tokens - a.tokens);
  }

  /** Tails under the tip in the object store; none when it does not answer. */
  async #listed(
    namespace: Namespace,
    tip: BlockKey,
    call: Call,
  ): Promise<readonly TailCandidate[]> {
    const { objects, keyPrefix, counters } = this.#parts;
    const prefix = tailObjectPrefix(keyPrefix, namespace, tip);
    try {
      const page = await call.race(objects.list(prefix, { signal: call.signal }));
      this.#trimListed(page.objects);
      const candidates: TailCandidate[] = [];
      for (const { key } of page.objects) {
        const parsed = parseFormatKey(keyPrefix, key);
        if (parsed?.kind !== 'tail') continue;
        candidates.push({ digest: parsed.digest, tokens: parsed.tokens });
      }
      return candidates;
    } catch (error) {
      if (!isStoreError(error) || (error.code === 'ABORTED' && !call.isExpired)) throw error;
      counters.lastFailure = error.message;
      return [];
    }
  }

  /** Removes the oldest tails of a tip that has more than it may keep, in the background. */
  #trimListed(tails: readonly ObjectInfo[]): void {
    if (tails.length <= limits.tailsPerTipMax) return;
    const oldestFirst = [...tails].sort((a, b) => a.modifiedMs - b.modifiedMs);
    for (const { key } of oldestFirst.slice(0, tails.length - limits.tailsPerTipMax)) {
      this.#parts.objects.delete(key).catch((error: unknown) => this.#logLeftOver(key, error));
    }
  }

  /** A tail too many that stays costs space only; the next reader tries again. */
  #logLeftOver(objectKey: string, error: unknown): void {
    this.#parts.logger.info('tails: one too many could not be removed', {
      object: objectKey,
      reason: messageOf(error),
    });
  }

  #borrow(found: Acquired): PayloadBorrow {
    const { facts, pinned, tier } = found;
    this.#parts.counters.addHit(tier, facts.length);
    let isHeld = true;
    const release = (): void => {
      if (isHeld) pinned.extent.unpin();
      isHeld = false;
    };
    return { payload: pinned.payload, tier, crc: facts.crc, release };
  }
}

/** Digests of the query's leading tokens, computed once for each length that a tail has. */
class TailDigests {
  readonly #query: TailQuery;
  readonly #byLength = new Map<number, BlockKey>();

  constructor(query: TailQuery) {
    this.#query = query;
  }

  matches(tokens: number, digest: BlockKey): boolean {
    if (tokens > this.#query.tokens.length) return false;
    let own = this.#byLength.get(tokens);
    if (own === undefined) {
      own = tailDigest(this.#query.tip, Array.from(this.#query.tokens).slice(0, tokens));
      this.#byLength.set(tokens, own);
    }
    return own === digest;
  }
}
