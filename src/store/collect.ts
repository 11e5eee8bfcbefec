import { assert } from '../base/assert.ts';
import { backoffMs } from '../base/backoff.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import type { ObjectInfo } from '../objectstore/object-store.ts';
import type { Platform } from '../platform/platform.ts';
import { BoundedRoom } from './bucket-room.ts';
import type { BucketRoom } from './bucket-room.ts';
import { BucketSpace } from './bucket-space.ts';
import { Call } from './call.ts';
import { Inventory } from './collect-inventory.ts';
import type { StoredObject } from './collect-inventory.ts';
import { removeInOrder } from './collect-order.ts';
import { Parents } from './collect-parents.ts';
import type { HeaderAnswer } from './collect-parents.ts';
import { planRemoval } from './collect-plan.ts';
import { RecentUses } from './collect-uses.ts';
import type { Counters } from './counters.ts';
import type { ObjectTier } from './object-tier.ts';
import type { BackgroundTask } from './background-task.ts';

export interface CollectorParts {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly objects: MeteredObjectStore;
  readonly objectTier: ObjectTier;
  readonly cache: LocalCache;
  readonly catalog: Catalog;
  readonly counters: Counters;
  readonly keyPrefix: string;
  /** Bytes that the objects under the key prefix may have. */
  readonly budgetBytes: number;
}

/**
 * Keeps the objects under the key prefix, of all namespaces, within a budget: over it, the chains
 * used least recently go first, each from its end, until nine tenths are left. Nothing is removed
 * before what hangs on it: a tail goes before its tip, a block before its parent. Objects of the v1
 * format tell of no parent; of a chain that this process used the end counts as used before the rest.
 * Unknown objects, and v1 objects where these are not read, count with their bytes and stay.
 *
 * - *Last use* is the later of the object's modification and the last {@link noteUse} of this
 *   process. Of uses by other processes only their writes are known. What was used within the last
 *   minute goes only when there is nothing else and the budget itself is exceeded.
 * - *Whoever writes* asks for room first ({@link room}): over the budget by a segment nothing is
 * written until something was removed. Processes that share a bucket keep to this together, by what
 * they claim in it: see {@link RoomClaims}.
 * - *Under budget* it costs a list at start and every ten minutes; between them it adds up what this
 *   process wrote. It reads headers only over budget, and few of them: see {@link Parents}.
 * - *Local copies* of what it removes go too. They are valid, but save and upload take a local copy
 *   that is not pending for proof of an object: kept, the block would never reach the bucket again
 *   and its descendants there could not be found by other hosts. A pending copy has no proof to
 *   give: it stays, and keeps its object and all above it for this time.
 * - *Other processes* may still believe in what was removed. It costs them a miss: a load repairs
 *   the belief, but a block that one of them holds locally reaches the bucket again only after it
 *   left that cache. Two that collect at once remove somewhat more than needed. What is written
 *   during a collection may find its ancestors gone.
 */
export class Collector implements BackgroundTask {
  readonly #parts: CollectorParts;
  readonly #uses = new RecentUses(limits.usesRememberedMax);
  readonly #parents: Parents;
  readonly #space: BucketSpace;
  readonly #stopping = new AbortController();
  /** Ends the wait before the next look, while there is one. */
  #waking = new AbortController();
  readonly #room: BoundedRoom;
  readonly #running: Promise<void>;
  /** When the bucket is to be listed again, and from when on it may be collected again. */
  #listDueMs = -Infinity;
  #collectDueMs = -Infinity;

  /** Begins in the background after a moment. */
  constructor(parts: CollectorParts) {
    assert(parts.budgetBytes > 0, `budget of ${parts.budgetBytes} bytes`);
    this.#parts = parts;
    this.#parents = new Parents({
      cache: parts.cache,
      readHeader: (block) => this.#readHeader(block),
      pause: () => this.#pause(),
    });
    this.#space = new BucketSpace({
      ...parts,
      writers: () => this.#room,
      request: (send) => this.#request(send),
      onFailure: ({ message }) => this.#parts.logger.info('collect: a claim stays', { message }),
    });
    this.#room = new BoundedRoom({
      bytesMax: () => this.#space.writableBytes,
      onFull: () => this.#onFull(),
      onDoubt: (bytes) => this.#space.noteDoubt(bytes),
    });
    this.#running = this.#run();
  }

  /** Room in the bucket, for those who write. */
  get room(): BucketRoom {
    return this.#room;
  }

  /**
   * Tells that payloads are being used: looked up, loaded or saved. Tails of both kinds are named by
   * their tips. Called before a call looks for them, so that what it finds is not removed under it;
   * keys that are stored nowhere do no harm. Costs a map entry for each key.
   */
  noteUse(namespace: Namespace, kind: PayloadKind, keys: readonly BlockKey[]): void {
    const atMs = this.#parts.platform.clock.wallMs();
    this.#uses.note({ namespace, kind, keys, atMs });
  }

  /** Ends it, also between two requests of a collection, and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort(new StoreError('CLOSED', 'the store was closed'));
    this.#waking.abort();
    await this.#running;
    this.#room.refuse(this.#fullError());
    // What may still be written stays claimed until the claim expires.
    if (this.#room.reservedBytes === 0) await this.#withdrawAtEnd();
  }

  /** Looks again and again until it is stopped. Never rejects. */
  async #run(): Promise<void> {
    const { random } = this.#parts.platform;
    const { signal } = this.#stopping;
    await this.#wait(limits.collectStartMs);
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#look();
        failures = 0;
        await this.#wait(limits.collectLookMs);
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        this.#report(error);
        // Who waits tries again later, as it does when the bucket fails it.
        this.#room.refuse(this.#fullError(error));
        const retry = { firstMs: limits.collectRetryFirstMs, mostMs: limits.collectRetryMostMs };
        await this.#wait(backoffMs(failures, random.fraction(), retry));
      }
    }
  }

  /** Ends early when the collector is stopped, or somebody has begun to wait for room. */
  async #wait(ms: number): Promise<void> {
    const isWoken = this.#waking.signal.aborted;
    this.#waking = new AbortController();
    if (isWoken || this.#stopping.signal.aborted) return;
    const { clock } = this.#parts.platform;
    // A program that is done may end: nobody waits for a collection.
    await clock.sleep(ms, this.#waking.signal, 'idle').catch(() => undefined);
  }

  #onFull(): void {
    if (this.#stopping.signal.aborted || this.#isFutile()) this.#room.refuse(this.#fullError());
    else this.#waking.abort();
  }

  /** True for a while after a collection that could remove nothing. */
  #isFutile(): boolean {
    return this.#parts.platform.clock.nowMs() < this.#collectDueMs;
  }

  #fullError(cause?: unknown): StoreError {
    const bytes = `${this.#space.usedBytes} of ${this.#parts.budgetBytes} bytes`;
    const message = `the object store is full (${bytes}), and nothing could be removed`;
    return new StoreError('UNAVAILABLE', message, { cause });
  }

  async #look(): Promise<void> {
    const { platform, budgetBytes } = this.#parts;
    const isIdle = this.#room.wantedBytes + this.#room.reservedBytes === 0;
    if (isIdle) await this.#space.withdrawStale();
    if (platform.clock.nowMs() >= this.#listDueMs) await this.#list(() => undefined);
    // Each claim is for who waits first: they pass, or the budget is what keeps them.
    while (this.#room.wantedBytes > 0 && !this.#space.isAllClaimed) {
      await this.#space.claim();
      this.#room.admit();
    }
    const isOver = this.#space.usedBytes > budgetBytes || this.#room.wantedBytes > 0;
    if (isOver && !this.#isFutile()) await this.#collect();
    // What waits still cannot be helped now. It comes again.
    if (this.#isFutile() && this.#room.reservedBytes === 0) this.#room.refuse(this.#fullError());
  }

  /** Visits all objects under the prefix, and claims room for who waits. */
  async #list(visit: (info: ObjectInfo) => void): Promise<void> {
    const { platform } = this.#parts;
    await this.#space.list(visit);
    this.#room.admit();
    const jitter = 0.75 + platform.random.fraction() / 2;
    this.#listDueMs = platform.clock.nowMs() + limits.collectListMs * jitter;
  }

  async #collect(): Promise<void> {
    const { platform, keyPrefix, budgetBytes, cache, logger, objectTier } = this.#parts;
    const inventory = new Inventory(keyPrefix, objectTier.isLegacyRead);
    const lastUseMs = (object: StoredObject): number => this.#lastUseMs(object);
    await this.#list((info) => inventory.add(info, lastUseMs));
    const besideBytes = this.#space.besideClaimsBytes;
    if (inventory.bytes <= besideBytes) return;
    this.#announce(inventory);
    const listedBytes = inventory.bytes;
    this.#parents.forgetOthers(inventory);
    const plan = await planRemoval(inventory, {
      budgetBytes: besideBytes,
      targetBytes: Math.min(budgetBytes * limits.collectTargetShare, besideBytes),
      youngSinceMs: platform.clock.wallMs() - limits.collectAgeMsMin,
      isKept: (object) => cache.find(object)?.isPending === true,
      open: (objects) => this.#parents.learn(objects, inventory),
      pause: () => this.#pause(),
    });
    this.#space.noteGone(listedBytes - inventory.bytes);
    const removed = await this.#removePlanned(plan);
    if (removed === 0) this.#collectDueMs = platform.clock.nowMs() + limits.collectFutileMs;
    const event = 'collect: removed what was used least recently';
    const spared = plan.length - removed;
    logger.info(event, { objects: removed, spared, bytes: this.#space.usedBytes, budgetBytes });
  }

  #announce({ bytes, removableBytes }: Inventory): void {
    const { logger, budgetBytes } = this.#parts;
    const fields = { bytes, removableBytes, budgetBytes };
    if (bytes - removableBytes <= budgetBytes) {
      logger.info('collect: the object store is over its budget', fields);
    } else {
      logger.error('collect: objects that are not ours to remove exceed the budget', fields);
    }
  }

  #lastUseMs(object: StoredObject): number {
    return this.#uses.lastMs(object.namespace, object.kind, object.useKey);
  }

  async #readHeader(block: StoredObject): Promise<HeaderAnswer> {
    const { objectTier, catalog } = this.#parts;
    const header = await this.#request((signal) => objectTier.readFollowing(block, signal));
    return header === undefined && catalog.isAbsent(block) ? 'absent' : header;
  }

  /** Removes what is planned; resolves to how many were. */
  #removePlanned(plan: readonly StoredObject[]): Promise<number> {
    return removeInOrder(plan, async (object, removedBefore) => {
      if (!(await this.#remove(object))) return false;
      this.#space.noteGone(object.byteLength);
      this.#room.admit();
      this.#reportProgress(removedBefore + 1, plan.length);
      return true;
    });
  }

  /** Removes the object and local copies of it; false when it was used since it was listed. */
  async #remove(object: StoredObject): Promise<boolean> {
    const { objects, objectTier, catalog, cache } = this.#parts;
    const entry = cache.find(object);
    if (entry?.isPending === true || this.#lastUseMs(object) > object.usedMs) return false;
    const key = objectTier.objectKeyIn(object.format, object);
    if (object.twin !== undefined) {
      // The payload is in the bucket a second time, and stays.
      await this.#request((signal) => objects.delete(key, { signal }));
      return true;
    }
    // Denied first: from here on no fetch begins, and one that began before has been noted.
    catalog.deny(object);
    if (entry !== undefined) await cache.remove(entry);
    await this.#request((signal) => objects.delete(key, { signal }));
    catalog.deny(object);
    catalog.noteEvicted(object);
    const late = cache.find(object);
    if (late?.isPending === false) await cache.remove(late);
    return true;
  }

  /** One request, which ends when the collector is stopped or its time is over. */
  #request<Result>(send: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { clock } = this.#parts.platform;
    const options = { signal: this.#stopping.signal };
    return Call.run(clock, options, limits.collectRequestMs, (call) =>
      call.race(send(call.signal)),
    );
  }

  async #pause(): Promise<void> {
    await this.#parts.platform.clock.yield();
    this.#stopping.signal.throwIfAborted();
  }

  #reportProgress(removed: number, planned: number): void {
    if (removed % limits.collectReportObjects !== 0) return;
    this.#parts.logger.info('collect: goes on', { removed, planned, bytes: this.#space.usedBytes });
  }

  /** When the store closes: a bucket that does not answer holds nobody up. */
  #withdrawAtEnd(): Promise<void> {
    const { clock } = this.#parts.platform;
    return this.#space.withdraw((send) =>
      Call.run(clock, undefined, limits.roomClaimWithdrawMs, (call) =>
        call.race(send(call.signal)),
      ),
    );
  }

  #report(error: unknown): void {
    const { counters, logger } = this.#parts;
    const event = 'collect: failed; tried again later';
    if (!isStoreError(error)) {
      logger.error(event, { reason: messageOf(error) });
      return;
    }
    counters.lastFailure = error.message;
    logger.info(event, { reason: error.message });
  }
}
