import { crc32c } from '../base/crc32c.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { mapBounded } from '../base/map-bounded.ts';
import { Turns } from '../base/turns.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { UploadOrder } from '../blocks/served-store.ts';
import { idText } from '../cache/cache-entry.ts';
import type { CacheEntry, PayloadFacts } from '../cache/cache-entry.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Clock } from '../platform/clock.ts';
import { storedBytesMax } from './bucket-room.ts';
import type { BucketRoom } from './bucket-room.ts';
import { Call } from './call.ts';
import type { Counters } from './counters.ts';
import type { ObjectTier } from './object-tier.ts';
import type { Uploads } from './uploads.ts';

/** A payload to save. */
export interface PayloadToSave {
  readonly facts: Omit<PayloadFacts, 'length' | 'crc'>;
  /** Undefined: it is believed to be stored. */
  readonly payload: Uint8Array | undefined;
  /** CRC32C of the payload, when the caller has just computed it; else it is computed here. */
  readonly crc?: number | undefined;
}

/** What one call saves: payloads of one namespace, and every key of the chain given to it. */
export interface SaveRequest {
  readonly payloads: readonly PayloadToSave[];
  readonly chain: readonly BlockKey[];
  readonly durable: boolean;
  /** Of a save that comes in parts. */
  readonly order?: UploadOrder | undefined;
  /** Payloads of its other parts that come before these. */
  readonly newBefore?: number | undefined;
  /** It was accepted already, elsewhere: how much waits for upload does not matter. */
  readonly isPromised?: boolean | undefined;
}

/** Blocks that may be saved, of which only the keys are known, and the lengths of their payloads. */
export interface WantedKeys {
  readonly namespace: Namespace;
  readonly keys: readonly BlockKey[];
  readonly lengths?: readonly number[] | undefined;
}

export interface WritePathParts {
  readonly clock: Clock;
  readonly cache: LocalCache;
  readonly catalog: Catalog;
  readonly objectTier: ObjectTier;
  readonly uploads: Uploads;
  readonly counters: Counters;
  /** Bytes that may be accepted and not yet durable. */
  readonly backlogBytesMax: number;
  /** Bytes that a payload may have, when the bucket has a budget: more could never be stored. */
  readonly payloadBytesMax?: number | undefined;
  /** Room in the bucket, when that has a budget. */
  readonly room?: BucketRoom | undefined;
}

/** Of a block of which only the key matters. */
const unknownFacts = {
  kind: 'block',
  parent: undefined,
  fingerprint: undefined,
  tokens: 0,
  position: undefined,
  hasDecodedTokens: false,
} as const;

interface Candidate extends PayloadToSave {
  /** Index among the keys given to the save. */
  readonly saveIndex: number;
}

/** A candidate that is really to be stored: its bytes are here. */
interface Fresh extends Candidate {
  readonly payload: Uint8Array;
}

/** What of a payload matters for whether there is room for it. */
interface SizedPayload extends Pick<PayloadToSave, 'facts'> {
  readonly length: number;
}

type Accepted = Fresh & { readonly facts: PayloadFacts };

/**
 * Accepts payloads: drops those already stored, checks the limits, writes the rest to the log in one
 * batch, and hands them to the uploads.
 */
export class WritePath {
  readonly #parts: WritePathParts;
  /** Payloads being accepted by some call: a second save of the same one waits for it. */
  readonly #accepting = new Map<string, Promise<unknown>>();
  #acceptingBytes = 0;
  /** Of raw tails that are written to the bucket as they are saved. */
  readonly #turns = new Turns<string>();

  constructor(parts: WritePathParts) {
    this.#parts = parts;
  }

  /** Stores nothing and says so when a payload that is stored nowhere did not come along. */
  async save(request: SaveRequest, call: Call): Promise<SaveResult | 'payload-needed'> {
    const { counters, cache } = this.#parts;
    let candidates: readonly Candidate[];
    await this.#awaitRoom(request, call);
    do {
      await this.#awaitTwins(request.payloads, call);
      candidates = await this.#dropKnown(request.payloads, call);
    } while (candidates.some(({ facts }) => this.#hasTwin(facts)));
    const fresh = candidates.filter(hasPayload);
    if (fresh.length < candidates.length) return 'payload-needed';
    const sized = fresh.map(({ facts, payload }) => ({ facts, length: payload.length }));
    // From here to the moment when the batch counts as being accepted nothing is awaited.
    call.throwIfAborted();
    const savedBytes = sumOfLengths(sized);
    if (request.isPromised !== true) this.#checkRoom(sized, savedBytes);
    if (cache.hasDisk) await this.#accept(request, fresh, savedBytes, call);
    else await this.#writeThrough(request, fresh, call);
    const known = request.payloads.length - fresh.length;
    counters.saved += fresh.length;
    counters.savedBytes += savedBytes;
    counters.known += known;
    return { saved: fresh.length, known, savedBytes };
  }

  /**
   * For each block whether a save would store it now, as far as is known. Rejects as the save would
   * where those that it would have no room; a payload of length 0, or unknown length, takes none. Of
   * many keys others have their turn between some and the next.
   */
  async wants({ namespace, keys, lengths }: WantedKeys, call: Call): Promise<readonly boolean[]> {
    const wanted = keys.map(() => false);
    const fresh: SizedPayload[] = [];
    const seen = new Set<string>();
    for (let start = 0; start < keys.length; start += limits.turnKeysMax) {
      if (start > 0) await this.#parts.clock.yield();
      call.throwIfAborted();
      const asked = keys.slice(start, start + limits.turnKeysMax).map((key) => ({
        facts: { ...unknownFacts, namespace, key },
        payload: undefined,
      }));
      for (const { facts, saveIndex } of await this.#dropKnown(asked, call, seen)) {
        if (this.#twinOf(facts) !== undefined) continue;
        wanted[start + saveIndex] = true;
        fresh.push({ facts, length: lengths?.[start + saveIndex] ?? 0 });
      }
    }
    this.#checkRoom(fresh, sumOfLengths(fresh));
    return wanted;
  }

  /** True when so much more may be accepted. */
  hasRoomFor(bytes: number, count: number): boolean {
    const { uploads, backlogBytesMax } = this.#parts;
    const waiting = uploads.pendingBytes + this.#acceptingBytes;
    return waiting + bytes <= backlogBytesMax && uploads.pending + count <= limits.backlogCountMax;
  }

  /** Waits until payloads that another call is accepting are in, or known not to be. */
  async #awaitTwins(payloads: readonly PayloadToSave[], call: Call): Promise<void> {
    if (this.#accepting.size === 0) return;
    for (const { facts } of payloads) {
      const twin = this.#twinOf(facts);
      if (twin !== undefined) await call.race(twin.catch(() => undefined));
    }
  }

  /** The acceptance of the same payload by another call. A raw tail replaces whatever is there. */
  #twinOf(facts: PayloadToSave['facts']): Promise<unknown> | undefined {
    return facts.kind === 'raw-tail' ? undefined : this.#accepting.get(idText(facts));
  }

  /**
   * True when another call has stored the payload, or has begun to accept it, since it was found
   * to be stored nowhere. Of two accepted copies each would take the other for the one to upload.
   */
  #hasTwin(facts: PayloadToSave['facts']): boolean {
    return this.#isStored(facts) || this.#twinOf(facts) !== undefined;
  }

  /** The payloads that are stored nowhere yet, each once; `seen` are those that came before. */
  async #dropKnown(
    payloads: readonly PayloadToSave[],
    call: Call,
    seen = new Set<string>(),
  ): Promise<readonly Candidate[]> {
    const candidates: Candidate[] = [];
    payloads.forEach((one, saveIndex) => {
      const id = idText(one.facts);
      if (seen.has(id) || this.#isStored(one.facts)) return;
      seen.add(id);
      candidates.push({ ...one, saveIndex });
    });
    const isFresh = await this.#confirmFresh(candidates, call);
    return candidates.filter((_, index) => isFresh[index]);
  }

  #isStored(facts: PayloadToSave['facts']): boolean {
    if (facts.kind === 'raw-tail') return false;
    const { cache, catalog } = this.#parts;
    return cache.find(facts) !== undefined || catalog.presence(facts) === 'confirmed';
  }

  /**
   * For each whether it is stored nowhere. One known only from a list is asked for: what is not there
   * must not count as stored. A bucket that does not answer soon is asked no more: a save does not
   * wait for it, and saving what is stored costs a request that finds it present.
   */
  #confirmFresh(candidates: readonly Candidate[], call: Call): Promise<readonly boolean[]> {
    const { catalog } = this.#parts;
    let isAnswering = true;
    return mapBounded(candidates, limits.fetchesInFlightMax, async ({ facts }) => {
      const isListed = facts.kind !== 'raw-tail' && catalog.presence(facts) === 'listed';
      if (!isListed || !isAnswering) return true;
      try {
        return !(await this.#confirm(facts, call));
      } catch (error) {
        call.throwIfAborted();
        if (!isStoreError(error, 'UNAVAILABLE') && !isStoreError(error, 'ABORTED')) throw error;
        isAnswering = false;
        return true;
      }
    });
  }

  #confirm(facts: PayloadToSave['facts'], { signal }: Call): Promise<boolean> {
    const { clock, objectTier } = this.#parts;
    return Call.run(clock, { signal }, limits.confirmMs, (call) =>
      call.race(objectTier.confirm(facts, call.signal)),
    );
  }

  /** A durable save needs room for what of it is under way, and not for all of its parts at once. */
  async #awaitRoom({ payloads, durable, order }: SaveRequest, call: Call): Promise<void> {
    if (!durable || order?.durable === undefined) return;
    const bytes = payloads.reduce((sum, { payload }) => sum + (payload?.length ?? 0), 0);
    if (!this.hasRoomFor(bytes, payloads.length)) await call.race(order.durable);
  }

  #checkRoom(fresh: readonly SizedPayload[], savedBytes: number): void {
    const { uploads, counters, backlogBytesMax, payloadBytesMax = Infinity } = this.#parts;
    const most = Math.min(backlogBytesMax, limits.payloadBytesMax, payloadBytesMax);
    for (const { facts, length } of fresh) {
      if (length <= most) continue;
      const size = `payload of ${facts.key} has ${length} bytes`;
      throw new StoreError('TOO_LARGE', `${size}; at most ${most} can be stored`);
    }
    const bytes = uploads.pendingBytes + this.#acceptingBytes + savedBytes;
    const count = uploads.pending + fresh.length;
    const isAlone = uploads.pendingBytes + this.#acceptingBytes === 0;
    if ((bytes > backlogBytesMax && !isAlone) || count > limits.backlogCountMax) {
      counters.refused += 1;
      const waiting = `${uploads.pending} payloads (${uploads.pendingBytes} bytes) wait for upload`;
      throw new StoreError('BUSY', `${waiting}; the backlog limit is ${backlogBytesMax} bytes`);
    }
  }

  async #accept(
    request: SaveRequest,
    fresh: readonly Fresh[],
    savedBytes: number,
    call: Call,
  ): Promise<void> {
    const { uploads } = this.#parts;
    const accepting = this.#acceptFresh(request, fresh);
    this.#acceptingBytes += savedBytes;
    for (const { facts } of fresh) this.#accepting.set(idText(facts), accepting);
    void accepting
      .catch(() => undefined)
      .then(() => {
        this.#acceptingBytes -= savedBytes;
        for (const { facts } of fresh) this.#accepting.delete(idText(facts));
      });
    // Not raced: the log reads the caller's memory until the write has ended.
    await accepting;
    if (!request.durable) return;
    const entries: CacheEntry[] = [];
    for (const { facts } of request.payloads) {
      const entry = this.#parts.cache.find(facts);
      if (entry?.isPending === true) entries.push(entry);
    }
    const whenDurable = uploads.whenDurable(entries);
    const { order } = request;
    if (order === undefined) {
      await call.race(whenDurable);
      return;
    }
    order.durable = Promise.all([order.durable, whenDurable]);
    // Whoever made the order waits for it, after the last part.
    order.durable.catch(() => undefined);
  }

  async #acceptFresh(
    { chain, order, durable, newBefore }: SaveRequest,
    fresh: readonly Fresh[],
  ): Promise<void> {
    if (fresh.length === 0) return;
    const { cache, uploads } = this.#parts;
    const entries = await cache.accept(await this.#withChecksums(fresh), chain);
    uploads.enqueue({ entries, chain, order, countBefore: newBefore, isAwaited: durable });
  }

  /** Without a disk tier nothing can be accepted: the save returns when the payloads are durable. */
  async #writeThrough(request: SaveRequest, fresh: readonly Fresh[], call: Call): Promise<void> {
    const { objectTier, room } = this.#parts;
    const accepted = await this.#withChecksums(fresh);
    const put = async (one: Accepted): Promise<void> => {
      const { facts, payload } = one;
      const reserved = await room?.reserve(storedBytesMax(payload.length), call.signal);
      // Asked for behind the wait, in which some of them may have been removed.
      const following = this.#followingOf(one, request.chain);
      const write = async (): Promise<unknown> => {
        const writing = objectTier.put(facts, payload, following, call.signal);
        return reserved === undefined ? writing : reserved.during(writing);
      };
      await call.race(facts.kind === 'raw-tail' ? this.#replace(facts, write) : write());
    };
    const isHead = (index: number): boolean => index % (limits.followingKeysMax + 1) === 0;
    const rest = accepted.filter((_, index) => !isHead(index)).reverse();
    await mapBounded(rest, limits.uploadsInFlightMax, put);
    for (const head of accepted.filter((_, index) => isHead(index)).reverse()) await put(head);
  }

  /** Writes a raw tail when those that were saved before are written, or never will be. */
  #replace(facts: PayloadFacts, write: () => Promise<unknown>): Promise<unknown> {
    return this.#turns.run(idText(facts), async () => {
      try {
        return await write();
      } finally {
        // A put that failed may have happened.
        await this.#parts.cache.forgetFetched(facts);
      }
    });
  }

  /** The keys after the block's, as far as each is in the bucket now. */
  #followingOf({ facts, saveIndex }: Accepted, chain: readonly BlockKey[]): readonly BlockKey[] {
    const following: BlockKey[] = [];
    const rest = facts.kind === 'block' ? chain.slice(saveIndex + 1) : [];
    for (const key of rest.slice(0, limits.followingKeysMax)) {
      const id = { namespace: facts.namespace, kind: 'block' as const, key };
      if (this.#parts.catalog.presence(id) !== 'confirmed') break;
      following.push(key);
    }
    return following;
  }

  async #withChecksums(fresh: readonly Fresh[]): Promise<readonly Accepted[]> {
    const accepted: Accepted[] = [];
    let turnBytes = 0;
    for (const one of fresh) {
      const { facts, payload } = one;
      turnBytes += one.crc === undefined ? payload.length : 0;
      if (turnBytes > limits.turnBytesMax) {
        await this.#parts.clock.yield();
        turnBytes = payload.length;
      }
      const crc = one.crc ?? crc32c(payload);
      accepted.push({ ...one, facts: { ...facts, length: payload.length, crc } });
    }
    return accepted;
  }
}

function hasPayload(candidate: Candidate): candidate is Fresh {
  return candidate.payload !== undefined;
}

function sumOfLengths(payloads: readonly SizedPayload[]): number {
  let sum = 0;
  for (const { length } of payloads) sum += length;
  return sum;
}
