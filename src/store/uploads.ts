import { setMaxListeners } from 'node:events';
import { backoffMs } from '../base/backoff.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import { GroupSemaphore } from '../base/group-semaphore.ts';
import type { Logger } from '../base/logger.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { UploadOrder } from '../blocks/served-store.ts';
import { idText } from '../cache/cache-entry.ts';
import type { CacheEntry } from '../cache/cache-entry.ts';
import type { LocalCache, PinnedPayload } from '../cache/local-cache.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Platform } from '../platform/platform.ts';
import { storedBytesMax } from './bucket-room.ts';
import type { BucketRoom } from './bucket-room.ts';
import { Call } from './call.ts';
import type { Counters } from './counters.ts';
import type { ObjectTier } from './object-tier.ts';
import { ReplacedUploads } from './replaced-uploads.ts';
import { UploadFailures } from './upload-failures.ts';

/** Pending payloads of one save, in chain order, and every key that was given to it. */
export interface UploadBatch {
  readonly entries: readonly CacheEntry[];
  readonly chain: readonly BlockKey[];
  /** Of a save that comes in parts; this is the next of them. */
  readonly order?: UploadOrder | undefined;
  /** Payloads of the same save before these: every 64th of them all goes after the rest. */
  readonly countBefore?: number | undefined;
  /** Somebody waits for them: they do not wait for earlier parts, but for every 64th. */
  readonly isAwaited?: boolean | undefined;
}

export interface UploadsParts {
  readonly platform: Platform;
  readonly cache: LocalCache;
  readonly catalog: Catalog;
  readonly objectTier: ObjectTier;
  readonly counters: Counters;
  readonly logger: Logger;
  /** Room in the bucket, when that has a budget. */
  readonly room?: BucketRoom | undefined;
}

/** A pending payload on its way. `done` settles once: durable, or why it never will be from here. */
interface UploadItem {
  readonly entry: CacheEntry;
  readonly chain: readonly BlockKey[];
  readonly done: Deferred<void>;
  /** The attempt under way. */
  attempt: Promise<unknown> | undefined;
  /** Ends the wait before the next attempt, while there is one. */
  wake: (() => void) | undefined;
  /** Somebody waits for `done`. */
  isAwaited: boolean;
}

/**
 * Brings pending payloads to the object store in the background and keeps at it until they are
 * there. Every 64th new block of a save, its first included, goes after the rest, from the last to
 * the first: so the keys that its header lists are in the bucket by then, and no other host sees a
 * save from its beginning before it is whole. That holds for a save that comes in parts, too.
 */
export class Uploads {
  readonly #parts: UploadsParts;
  readonly #batches = new Semaphore(limits.uploadBatchesMax);
  readonly #requests = new Semaphore(limits.uploadsInFlightMax);
  readonly #smallRequests = new GroupSemaphore(limits.smallUploadsInFlightMax);
  /** Everything pending, by entry. */
  readonly #items = new Map<CacheEntry, UploadItem>();
  /** The last upload of each raw tail and its end, so that the last writer is the last to arrive. */
  readonly #rawTails = new Map<
    string,
    { readonly item: UploadItem; readonly end: Promise<unknown> }
  >();
  readonly #replaced = new ReplacedUploads();
  readonly #failures = new UploadFailures();
  readonly #stopped = new AbortController();
  /** Ends the waits of saves for earlier parts of theirs. */
  readonly #endings = new Set<() => void>();
  #pendingBytes = 0;

  constructor(parts: UploadsParts) {
    this.#parts = parts;
    // Each attempt under way listens; none leaks.
    setMaxListeners(0, this.#stopped.signal);
  }

  get pending(): number {
    return this.#items.size;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Takes the batch on. Returns at once. */
  enqueue(batch: UploadBatch): void {
    const items = batch.entries.map((entry): UploadItem => {
      const item = {
        entry,
        chain: batch.chain,
        done: deferred<void>(),
        attempt: undefined,
        wake: undefined,
        isAwaited: false,
      };
      // Whoever waits hears of a failure; that nobody waits is no fault.
      item.done.promise.catch(() => undefined);
      return item;
    });
    for (const item of items) {
      this.#items.set(item.entry, item);
      this.#pendingBytes += item.entry.facts.length;
    }
    const { order, countBefore = 0, isAwaited = false } = batch;
    const run = (before?: Promise<unknown>): Promise<void> =>
      this.#batches.run(() => this.#runBatch(items, countBefore, before));
    if (order === undefined) void run();
    else if (isAwaited) order.uploaded = run(order.uploaded);
    else order.after = this.#untilStopped(order.after).then(() => run());
  }

  /**
   * Resolves when the promise settles, or when the uploads stop. Not by a race with one promise for
   * that: it would keep something of every save as long as the store is open.
   */
  #untilStopped(promise: Promise<unknown>): Promise<void> {
    if (this.#stopped.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        this.#endings.delete(end);
        resolve();
      };
      this.#endings.add(end);
      promise.then(end, end);
    });
  }

  /**
   * Resolves when the entries are durable. Rejects with `UNAVAILABLE` when an attempt that began
   * after this call fails: they stay pending and go on being tried.
   */
  whenDurable(entries: Iterable<CacheEntry>): Promise<void> {
    const waiting: Promise<void>[] = [];
    for (const entry of entries) {
      const item = this.#items.get(entry);
      if (item !== undefined) {
        item.isAwaited = true;
        waiting.push(item.done.promise);
      }
      // Accepted as the store closed: it is left to whoever follows.
      else if (entry.isPending && this.#stopped.signal.aborted) {
        return Promise.reject(this.#stopped.signal.reason as StoreError);
      }
    }
    if (waiting.length === 0) return Promise.resolve();
    const settled = this.#failures.orFailure(Promise.all(waiting));
    this.#retryNow();
    return settled;
  }

  /** Resolves when everything pending now is durable, by the rules of {@link whenDurable}. */
  flush(): Promise<void> {
    return this.whenDurable([...this.#items.keys()]);
  }

  /**
   * Gives the entry up, for it is being removed; resolves when no attempt for it is under way, nor for a raw tail that
   * it replaced. An attempt is not aborted: its put might still arrive after the object was deleted.
   */
  async withdraw(entry: CacheEntry): Promise<void> {
    const item = this.#items.get(entry);
    if (item === undefined) return;
    entry.isCurrent = false;
    item.wake?.();
    const { facts } = entry;
    const last = facts.kind === 'raw-tail' ? this.#rawTails.get(idText(facts)) : undefined;
    last?.item.wake?.();
    // How the attempt ends is for those who wait for it.
    await item.attempt?.catch(() => undefined);
    await last?.end;
    this.#settle(item, undefined);
    // Nothing comes behind that they could be durable with.
    for (const done of this.#replaced.take(facts)) done.resolve();
  }

  /** Ends all attempts and resolves when none runs. What is pending stays on disk. */
  async stop(): Promise<void> {
    this.#stopped.abort(new StoreError('CLOSED', 'the store was closed'));
    for (const end of this.#endings) end();
    this.#retryNow();
    const ending = [...this.#items.values()].map(({ done }) => done.promise.catch(() => undefined));
    await Promise.all(ending);
  }

  /** Items whose place in their save begins at `countBefore`; `before` is the upload of all parts behind them. */
  async #runBatch(
    items: readonly UploadItem[],
    countBefore: number,
    before: Promise<unknown> | undefined,
  ): Promise<void> {
    const isHead = (index: number): boolean =>
      (countBefore + index) % (limits.followingKeysMax + 1) === 0;
    const lastFirst = [...items.entries()].reverse();
    const rest = lastFirst.filter(([index]) => !isHead(index));
    const heads = lastFirst.filter(([index]) => isHead(index));
    await Promise.all(rest.map(([, item]) => this.#runItem(item)));
    await before;
    for (const [, item] of heads) await this.#runItem(item);
  }

  /** Brings one payload to the bucket, however often it takes. Never rejects. */
  async #runItem(item: UploadItem): Promise<void> {
    if (item.entry.facts.kind === 'raw-tail') await this.#inTurn(item);
    else await this.#bring(item);
  }

  async #bring(item: UploadItem): Promise<void> {
    try {
      const end = await this.#attemptUntilDone(item);
      const isLeft = end === 'given up' && item.entry.facts.kind === 'raw-tail' && item.isAwaited;
      if (!isLeft) this.#settle(item, undefined);
      else if (this.#drop(item)) this.#replaced.add(item.entry.facts, item.done);
    } catch (error) {
      this.#settle(item, error);
    }
  }

  /** The item is not pending any more; with an error when it is not durable either. */
  #settle(item: UploadItem, error: unknown): void {
    if (!this.#drop(item)) return;
    const isRawTail = item.entry.facts.kind === 'raw-tail';
    const before = isRawTail ? this.#replaced.take(item.entry.facts) : [];
    for (const done of [item.done, ...before]) {
      if (error === undefined) done.resolve();
      else done.reject(error);
    }
  }

  /** False when it was dropped before. */
  #drop({ entry }: UploadItem): boolean {
    if (!this.#items.delete(entry)) return false;
    this.#pendingBytes -= entry.facts.length;
    return true;
  }

  /** The next one under the tip begins when it is known of this one what becomes of those who wait for it. */
  async #inTurn(item: UploadItem): Promise<void> {
    const id = idText(item.entry.facts);
    const before = this.#rawTails.get(id);
    // It has been replaced: it need not wait for another attempt.
    before?.item.wake?.();
    const end = (before?.end ?? Promise.resolve()).then(() => this.#bring(item));
    const own = { item, end };
    this.#rawTails.set(id, own);
    await end;
    if (this.#rawTails.get(id) === own) this.#rawTails.delete(id);
  }

  async #attemptUntilDone(item: UploadItem): Promise<AttemptsEnd> {
    const isSmall = item.entry.facts.length <= limits.smallUploadBytesMax;
    const requests = isSmall ? this.#smallRequests : this.#requests;
    for (let failures = 0; ;) {
      if (item.entry.isLost) throw lostError(item.entry);
      // A payload that was replaced or removed meanwhile has nothing to bring any more.
      if (!item.entry.isCurrent) return 'given up';
      this.#stopped.signal.throwIfAborted();
      const end = await requests.run(() => {
        const attempt = this.#attempt(item);
        item.attempt = attempt;
        return attempt;
      });
      item.attempt = undefined;
      if (!isStoreError(end) && !item.entry.isLost) return end;
      if (!item.entry.isCurrent) continue;
      this.#stopped.signal.throwIfAborted();
      failures += 1;
      await this.#waitBeforeRetry(item, failures);
    }
  }

  /** One attempt; resolves to the failure that another attempt may mend, if it fails. */
  async #attempt(item: UploadItem): Promise<StoreError | AttemptsEnd> {
    const { cache, platform } = this.#parts;
    const { entry } = item;
    if (!entry.isCurrent) return 'given up';
    const number = this.#failures.begin();
    let pinned: PinnedPayload | undefined;
    try {
      pinned = await this.#pin(entry);
      // Without a payload it was removed or lost; the caller looks at the entry.
      if (pinned === undefined) return 'given up';
      const etag = await this.#put(item, pinned.payload);
      const checkedMs = platform.clock.nowMs();
      const object = entry.facts.kind === 'raw-tail' ? { etag, checkedMs } : undefined;
      if (entry.isCurrent) await cache.markUploaded(entry, object);
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (entry.isCurrent) this.#report(item, number, error);
      return error;
    } finally {
      pinned?.extent.unpin();
    }
    return 'brought';
  }

  /** The payload; undefined when its bytes are damaged and it is lost, or it was removed. */
  async #pin(entry: CacheEntry): Promise<PinnedPayload | undefined> {
    const { cache } = this.#parts;
    const resident = cache.pinResident(entry);
    if (resident !== undefined || entry.disk === undefined) return resident;
    return cache.readFromDisk(entry);
  }

  /** One put, which ends when the store stops or it takes too long. Resolves as {@link ObjectTier.put}. */
  async #put(item: UploadItem, payload: Uint8Array): Promise<string | undefined> {
    const { objectTier, platform, room } = this.#parts;
    const { facts } = item.entry;
    const { signal } = this.#stopped;
    return Call.run(platform.clock, { signal }, limits.uploadAttemptMs, async (call) => {
      const reserved = await room?.reserve(storedBytesMax(payload.length), call.signal);
      // Asked for behind the wait, in which some of them may have been removed.
      const following = this.#followingOf(item);
      const put = objectTier.put(facts, payload, following, call.signal);
      return call.race(reserved === undefined ? put : reserved.during(put));
    });
  }

  /** The keys after the block's, as far as each is in the bucket now. */
  #followingOf(item: UploadItem): readonly BlockKey[] {
    const { facts, saveIndex } = item.entry;
    if (facts.kind !== 'block') return [];
    const following: BlockKey[] = [];
    const end = Math.min(item.chain.length, saveIndex + 1 + limits.followingKeysMax);
    for (let index = saveIndex + 1; index < end; index += 1) {
      const key = item.chain[index];
      const id = { namespace: facts.namespace, kind: 'block' as const, key };
      const entry = this.#parts.cache.find(id);
      const isDurable = entry?.isPending === false;
      if (!isDurable && this.#parts.catalog.presence(id) !== 'confirmed') break;
      following.push(key);
    }
    return following;
  }

  #report(item: UploadItem, number: number, error: StoreError): void {
    const { counters, logger } = this.#parts;
    counters.uploadFailures += 1;
    counters.lastFailure = error.message;
    logger.info('uploads: an attempt failed', {
      key: item.entry.facts.key,
      reason: messageOf(error),
    });
    const message = `upload of ${item.entry.facts.key} failed: ${error.message}; it stays pending`;
    const failure = new StoreError('UNAVAILABLE', message, { cause: error });
    this.#failures.tell(number, failure);
  }

  async #waitBeforeRetry(item: UploadItem, failures: number): Promise<void> {
    const { clock, random } = this.#parts.platform;
    const wait = backoffMs(failures, random.fraction(), {
      firstMs: limits.uploadRetryFirstMs,
      mostMs: limits.uploadRetryMostMs,
    });
    // Scheduled, not slept: a program that is done may end; what is pending stays on disk. By a
    // function of the item and not by signals: the memory that AbortSignal.any() takes for each of
    // these waits stays taken as long as the store is open.
    await new Promise<void>((resolve) => {
      const timer = clock.schedule(wait, resolve);
      item.wake = () => {
        timer.cancel();
        resolve();
      };
    });
    item.wake = undefined;
  }

  /** Ends every wait between attempts. */
  #retryNow(): void {
    for (const { wake } of this.#items.values()) wake?.();
  }
}

/** `given up`: the payload was replaced or removed. */
type AttemptsEnd = 'brought' | 'given up';

function lostError({ facts }: CacheEntry): StoreError {
  return new StoreError('CORRUPT', `pending payload ${facts.key} is damaged on disk`);
}
