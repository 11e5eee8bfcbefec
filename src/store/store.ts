import { AssertionError } from '../base/assert.ts';
import { StoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type {
  BlockToSave,
  Borrow,
  CallOptions,
  DeleteResult,
  LoadOptions,
  Lookup,
  PayloadBorrow,
  SaveOptions,
  SaveResult,
  Selection,
  StoreStats,
  TailBorrow,
  TailQuery,
  TailToSave,
} from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import { tailDigest } from '../blocks/prefix.ts';
import type {
  PayloadLease,
  SaveRing,
  SaveTailOptions,
  SaveWantedOptions,
  ServedStore,
  WantedBlock,
  WantsOptions,
} from '../blocks/served-store.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import type { Platform } from '../platform/platform.ts';
import {
  checkBlocks,
  checkKeys,
  checkOptions,
  checkTail,
  checkTip,
  checkTokens,
} from '../blocks/call-arguments.ts';
import type { BackgroundTask } from './background-task.ts';
import { Call } from './call.ts';
import type { Collector } from './collect.ts';
import type { Counters } from './counters.ts';
import type { LocalTiers } from './local-tiers.ts';
import type { ReadPath } from './read-path.ts';
import type { Removal } from './removal.ts';
import type { RingMerge } from './ring-merge.ts';
import { readStats } from './store-stats.ts';
import type { Tails } from './tails.ts';
import type { Transcoder } from './transcoder.ts';
import type { Uploads } from './uploads.ts';
import type { WritePath } from './write-path.ts';

/** Everything a store is made of; `open-store.ts` puts it together. The store owns all of it. */
export interface StoreParts {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly namespace: Namespace;
  readonly objects: MeteredObjectStore;
  readonly cache: LocalCache;
  readonly shows: LocalTiers['shows'];
  readonly transcoder: Transcoder;
  readonly readPath: ReadPath;
  readonly writePath: WritePath;
  readonly uploads: Uploads;
  readonly tails: Tails;
  readonly removal: Removal;
  readonly rings: RingMerge;
  readonly counters: Counters;
  readonly deadlines: Deadlines;
  readonly putDurable: boolean;
  /** Time that close() gives uploads; none any more when the signal fires. */
  readonly drainMs: number;
  readonly drainSignal: AbortSignal | undefined;
  /**
   * Hears what is used, so that what is not goes first, and makes room for uploads, behind which it is
   * stopped; absent when the bucket has no budget.
   */
  readonly collector: Pick<Collector, 'noteUse' | 'stop'> | undefined;
  /** Work in the background that the store started; `stop` ends it. */
  readonly background: readonly BackgroundTask[];
  /** Gives up what the store holds outside of itself: the cache directory. */
  readonly release: () => Promise<void>;
}

/** Milliseconds that calls may take unless they say otherwise. */
export interface Deadlines {
  readonly lookupMs: number;
  readonly loadMs: number;
  readonly saveMs: number;
  readonly tailMs: number;
  readonly deleteMs: number;
}

/**
 * The store: the contract over memory, disk and bucket of one process. This file is the table of
 * contents; each line of a call leads to the part that does it.
 */
export class Store implements ServedStore {
  readonly #parts: StoreParts;
  #closing: Promise<void> | undefined;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    checkKeys(keys);
    const { readPath, deadlines } = this.#parts;
    return this.#settledCall(options, deadlines.lookupMs, (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'block', keys);
      return readPath.lookup(namespace, keys, call);
    });
  }

  async contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    checkKeys(keys);
    const { readPath, deadlines } = this.#parts;
    return this.#settledCall(options, deadlines.loadMs, (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'block', keys);
      return readPath.contains(namespace, keys, call);
    });
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    checkKeys(keys);
    const { readPath, deadlines } = this.#parts;
    return this.#settledCall(options, deadlines.loadMs, (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'block', keys);
      return readPath.load(namespace, keys, call, options);
    });
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    checkBlocks(blocks);
    return withPayloads(await this.saveWanted(blocks, options));
  }

  async wants(keys: readonly BlockKey[], options?: WantsOptions): Promise<readonly boolean[]> {
    checkKeys(keys);
    const { writePath, deadlines } = this.#parts;
    return this.#call(options, deadlines.saveMs, (call, namespace) =>
      writePath.wants({ namespace, keys, lengths: options?.lengths }, call),
    );
  }

  async saveWanted(
    blocks: readonly WantedBlock[],
    options?: SaveWantedOptions,
  ): Promise<SaveResult | 'payload-needed'> {
    const { writePath, deadlines, rings } = this.#parts;
    rings.reconsider();
    return this.#call(options, deadlines.saveMs, (call, namespace) => {
      const chain = blocks.map(({ key }) => key);
      const parents = options?.parent === undefined ? [] : [options.parent];
      this.#parts.collector?.noteUse(namespace, 'block', [...parents, ...chain]);
      const payloads = blocks.map((block, index) => ({
        payload: block.payload,
        crc: block.crc,
        facts: {
          namespace,
          kind: 'block' as const,
          key: block.key,
          parent: index === 0 ? options?.parent : chain[index - 1],
          fingerprint: options?.fingerprint,
          tokens: block.tokens ?? 0,
          position: block.position,
          hasDecodedTokens: block.hasDecodedTokens ?? false,
        },
      }));
      const whole = [...chain, ...(options?.following ?? [])];
      const durable = this.#isDurable(options);
      const { order, newBefore } = options ?? {};
      return writePath.save({ payloads, chain: whole, durable, order, newBefore }, call);
    });
  }

  shows(keys: readonly BlockKey[], namespace: Namespace, kind: PayloadKind = 'block'): boolean {
    return keys.every((key) => this.#parts.shows({ namespace, kind, key }));
  }

  lease(byteLength: number): PayloadLease | undefined {
    return this.#closing === undefined ? this.#parts.cache.lease(byteLength) : undefined;
  }

  async openRing(): Promise<SaveRing | undefined> {
    return this.#closing === undefined ? this.#parts.rings.open() : undefined;
  }

  takeRings(): void {
    this.#parts.rings.take();
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    checkTip(query.tip);
    checkTokens(query.tokens);
    const { tails, deadlines } = this.#parts;
    return this.#call(options, deadlines.tailMs, (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'tail', [query.tip]);
      return tails.load(namespace, query, call, options);
    });
  }

  async saveTail(tail: TailToSave, options?: SaveTailOptions): Promise<SaveResult> {
    checkTail(tail);
    const { writePath, tails, deadlines } = this.#parts;
    return this.#call(options, deadlines.saveMs, async (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'tail', [tail.tip]);
      const facts = {
        namespace,
        kind: 'tail' as const,
        key: tailDigest(tail.tip, tail.tokens),
        parent: tail.tip,
        fingerprint: options?.fingerprint,
        tokens: tail.tokens.length,
        position: tail.position,
        hasDecodedTokens: tail.hasDecodedTokens ?? false,
      };
      const payloads = [{ facts, payload: tail.payload, crc: options?.crc }];
      const durable = this.#isDurable(options);
      const result = withPayloads(await writePath.save({ payloads, chain: [], durable }, call));
      await tails.trim(namespace, tail.tip, call);
      return result;
    });
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    checkTip(tip);
    const { tails, deadlines } = this.#parts;
    return this.#call(options, deadlines.tailMs, (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'raw-tail', [tip]);
      return tails.loadRaw(namespace, tip, call);
    });
  }

  async saveRawTail(
    tip: BlockKey,
    payload: Uint8Array,
    options?: SaveTailOptions,
  ): Promise<SaveResult> {
    checkTail({ tip, tokens: [], payload });
    const { writePath, deadlines } = this.#parts;
    return this.#call(options, deadlines.saveMs, async (call, namespace) => {
      this.#parts.collector?.noteUse(namespace, 'raw-tail', [tip]);
      const facts = {
        namespace,
        kind: 'raw-tail' as const,
        key: tip,
        parent: undefined,
        fingerprint: options?.fingerprint,
        tokens: 0,
        position: undefined,
        hasDecodedTokens: false,
      };
      const payloads = [{ facts, payload, crc: options?.crc }];
      const durable = this.#isDurable(options);
      return withPayloads(await writePath.save({ payloads, chain: [], durable }, call));
    });
  }

  async prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    const borrow = await this.load(keys, options);
    borrow.release();
    return borrow.blocks.length;
  }

  async flush(options?: CallOptions): Promise<void> {
    const { uploads } = this.#parts;
    return this.#settledCall(options, limits.flushDeadlineMs, (call) => call.race(uploads.flush()));
  }

  async delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    if (selection.kind === 'blocks') checkKeys(selection.keys);
    if (selection.kind === 'subtree') checkTip(selection.root);
    const { removal, deadlines } = this.#parts;
    return this.#settledCall(options, deadlines.deleteMs, (call, namespace) =>
      removal.delete(namespace, selection, call),
    );
  }

  async stats(options?: CallOptions): Promise<StoreStats> {
    const { deadlines } = this.#parts;
    return this.#settledCall(options, deadlines.lookupMs, async () => readStats(this.#parts));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #call<Result>(
    options: CallOptions | undefined,
    deadlineMs: number,
    task: (call: Call, namespace: Namespace) => Promise<Result>,
  ): Promise<Result> {
    checkOptions(options);
    if (this.#closing !== undefined) {
      return Promise.reject(new StoreError('CLOSED', 'the store was closed'));
    }
    const { platform, namespace } = this.#parts;
    return Call.run(platform.clock, options, deadlineMs, (call) =>
      task(call, options?.namespace ?? namespace),
    );
  }

  /** A call for which everything is there that was accepted before it, in rings too. */
  #settledCall<Result>(
    options: CallOptions | undefined,
    deadlineMs: number,
    task: (call: Call, namespace: Namespace) => Promise<Result>,
  ): Promise<Result> {
    const { rings } = this.#parts;
    return this.#call(options, deadlineMs, async (call, namespace) => {
      if (rings.hasNews) await rings.settleFor(call);
      return task(call, namespace);
    });
  }

  #isDurable(options: SaveOptions | undefined): boolean {
    return options?.durable ?? this.#parts.putDurable;
  }

  async #close(): Promise<void> {
    const { background, platform, uploads, cache, transcoder, objects, release } = this.#parts;
    const { drainMs, drainSignal, collector, rings } = this.#parts;
    await Promise.all(background.map((task) => task.stop()));
    await rings.close();
    // What cannot be uploaded in time, or at all now, stays pending on disk.
    await Call.run(platform.clock, { signal: drainSignal }, drainMs, (call) =>
      call.race(uploads.flush()),
    ).catch(() => undefined);
    await uploads.stop();
    await collector?.stop();
    await cache.close();
    await transcoder.close();
    await objects.close();
    await release();
  }
}

/** The result of a save whose payloads all came along. */
function withPayloads(result: SaveResult | 'payload-needed'): SaveResult {
  if (result === 'payload-needed') throw new AssertionError('every payload came along');
  return result;
}
