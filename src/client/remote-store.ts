import { BytePool } from '../base/byte-pool.ts';
import { StoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type {
  BlockToSave,
  Borrow,
  CallOptions,
  DeleteResult,
  KvStore,
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
import type { SharedFiller } from '../cache/shared-reader.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Clock } from '../platform/clock.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import * as reads from '../protocol/read-messages.ts';
import { decodeRing } from '../protocol/session-messages.ts';
import type { RingOffer } from '../protocol/session-messages.ts';
import { decodeStatistics } from '../protocol/statistics.ts';
import * as writes from '../protocol/write-messages.ts';
import type { SaveHead } from '../protocol/write-messages.ts';
import type { WireDirection, WireLink } from '../wire/wire-link.ts';
import { loadPlan, savePlan, smallPlan } from './call-plans.ts';
import type { CallWire } from './call-plans.ts';
import { LoadCollection } from './load-attempt.ts';
import type { LoadedPayload } from './load-attempt.ts';
import { runCall } from './remote-call.ts';
import type { CallPlan } from './remote-call.ts';
import type { RemotePeer } from './remote-peer.ts';

/** Milliseconds that calls may take unless they say otherwise. */
export interface RemoteDeadlines {
  readonly lookupMs: number;
  readonly loadMs: number;
  readonly saveMs: number;
  readonly tailMs: number;
  readonly deleteMs: number;
}

export interface RemoteStoreParts {
  readonly peer: RemotePeer;
  readonly clock: Clock;
  /** Where memory for payloads that come is taken. */
  readonly memory: PayloadMemory;
  readonly namespace: Namespace;
  readonly deadlines: RemoteDeadlines;
  /** Where payloads that come are checked. The store closes it. */
  readonly checksums: Checksums;
  /** What fills memory of the daemon, on its host, while there is any. */
  readonly fillerOf?: (() => SharedFiller | undefined) | undefined;
  /** Compression of payloads, where the daemon is reached over a network. The store closes it. */
  readonly wire?: WireLink | undefined;
}

/**
 * A daemon as a store: the contract, over its frames. Closing it leaves the daemon as it is. Its
 * arguments have been checked (`ClientStore`).
 */
export class RemoteStore implements KvStore {
  readonly #parts: RemoteStoreParts;
  /** Memory for payloads that come, which the thread for checksums shares. Throws `BUSY` when the system has none. */
  readonly #pool: BytePool;
  #isClosed = false;

  constructor(parts: RemoteStoreParts) {
    this.#parts = parts;
    const { memory } = parts;
    this.#pool = new BytePool(limits.receiveKeptBytes, (length) => needMemory(memory, length));
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    const ms = this.#parts.deadlines.lookupMs;
    return this.#small('lookup', options, ms, {
      encode: (head) => reads.encodeKeysCall({ ...head, keys }),
      decode: (body) => reads.decodeLookedUp(body),
    });
  }

  async contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    return this.#small('contains', options, this.#parts.deadlines.loadMs, {
      encode: (head) => reads.encodeKeysCall({ ...head, keys }),
      decode: (body) => reads.decodePresent(body),
    });
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    const collection = new LoadCollection(this.#pool, this.#parts.checksums);
    const { reason } = await this.#load(collection, options, this.#parts.deadlines.loadMs, {
      type: 'load',
      countMax: keys.length,
      encode: (head) => {
        const rest = collection.count === 0 ? keys : keys.slice(collection.count);
        return reads.encodeLoadCall({ ...head, ...wishOf(options), keys: rest });
      },
    });
    const blocks = collection.payloads.map((one, index) => loadedBlock(keys[index], one));
    return { blocks, reason, release: () => collection.release() };
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    const announced = blocks.map(({ key, payload, tokens, position, hasDecodedTokens }) => ({
      ...{ key, length: payload.length, tokens: tokens ?? 0, position },
      hasDecodedTokens: hasDecodedTokens ?? false,
    }));
    const payloads = blocks.map(({ payload }) => payload);
    return this.#save('save', payloads, options, (head) =>
      writes.encodeSaveCall({ ...head, parent: options?.parent, blocks: announced }),
    );
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    const { tip } = query;
    const tokens = Array.from(query.tokens);
    const collection = new LoadCollection(this.#pool, this.#parts.checksums);
    await this.#load(collection, options, this.#parts.deadlines.tailMs, {
      type: 'load-tail',
      countMax: 1,
      encode: (head) => reads.encodeLoadTailCall({ ...head, ...wishOf(options), tip, tokens }),
    });
    const found = collection.payloads.at(0);
    if (found === undefined) return undefined;
    if (found.tokens > tokens.length) {
      throw new StoreError('INVALID', `the daemon gave a tail of ${found.tokens} tokens`);
    }
    const { hasDecodedTokens } = found;
    return { ...payloadBorrow(found, collection), tokens: found.tokens, hasDecodedTokens };
  }

  async saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    const { tip, position } = tail;
    const tokens = Array.from(tail.tokens);
    const { length } = tail.payload;
    const facts = { tip, tokens, position, hasDecodedTokens: tail.hasDecodedTokens ?? false };
    return this.#save('save-tail', [tail.payload], options, (head) =>
      writes.encodeSaveTailCall({ ...head, ...facts, length }),
    );
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    const collection = new LoadCollection(this.#pool, this.#parts.checksums);
    await this.#load(collection, options, this.#parts.deadlines.tailMs, {
      type: 'load-raw-tail',
      countMax: 1,
      encode: (head) => reads.encodeLoadRawTailCall({ ...head, tip }),
    });
    const found = collection.payloads.at(0);
    return found === undefined ? undefined : payloadBorrow(found, collection);
  }

  async saveRawTail(
    tip: BlockKey,
    payload: Uint8Array,
    options?: SaveOptions,
  ): Promise<SaveResult> {
    return this.#save('save-raw-tail', [payload], options, (head) =>
      writes.encodeSaveRawTailCall({ ...head, tip, length: payload.length }),
    );
  }

  async prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    return this.#small('prefetch', options, this.#parts.deadlines.loadMs, {
      encode: (head) => reads.encodeKeysCall({ ...head, keys }),
      decode: (body) => reads.decodeNumber(body),
    });
  }

  async flush(options?: CallOptions): Promise<void> {
    return this.#small('flush', options, limits.flushDeadlineMs, {
      encode: (head) => reads.encodeHead(head),
      decode: () => undefined,
    });
  }

  async delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    return this.#small('delete', options, this.#parts.deadlines.deleteMs, {
      encode: (head) => reads.encodeDeleteCall({ ...head, selection }),
      decode: (body) => ({ objects: reads.decodeNumber(body) }),
    });
  }

  async stats(options?: CallOptions): Promise<StoreStats> {
    return this.#small('stats', options, this.#parts.deadlines.lookupMs, {
      encode: (head) => reads.encodeHead(head),
      decode: decodeStatistics,
    });
  }

  /** Asks for a ring of the daemon's memory in which saves are left, in place of the one that there was. */
  openRing(): Promise<RingOffer> {
    const plan = smallPlan('open-ring', { encode: () => new Uint8Array(0), decode: decodeRing });
    return this.#run(undefined, this.#parts.deadlines.saveMs, plan);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#parts.peer.close();
    this.#pool.clear();
    await Promise.all([this.#parts.checksums.close(), this.#parts.wire?.close()]);
  }

  #small<Result>(
    type: FrameType,
    options: CallOptions | undefined,
    usualMs: number,
    codec: {
      readonly encode: (head: reads.CallHead) => Uint8Array;
      readonly decode: (body: Uint8Array) => Result;
    },
  ): Promise<Result> {
    const namespace = this.#namespaceOf(options);
    const plan = smallPlan(type, {
      encode: (deadlineMs) => codec.encode({ namespace, deadlineMs }),
      decode: codec.decode,
    });
    return this.#run(options, usualMs, plan);
  }

  async #load(
    collection: LoadCollection,
    options: LoadOptions | undefined,
    usualMs: number,
    call: {
      readonly type: FrameType;
      readonly countMax: number;
      readonly encode: (head: LoadHead) => Uint8Array;
    },
  ): Promise<reads.Loaded> {
    const namespace = this.#namespaceOf(options);
    const encode = (deadlineMs: number, mayCompress: boolean): Uint8Array =>
      call.encode({ namespace, deadlineMs, mayCompress });
    const wire = await this.#wireOf('load', call.countMax);
    try {
      return await this.#run(options, usualMs, loadPlan({ ...call, encode }, collection, wire));
    } catch (error) {
      collection.release();
      throw error;
    }
  }

  async #save(
    type: FrameType,
    payloads: readonly Uint8Array[],
    options: SaveOptions | undefined,
    encode: (head: SaveHead) => Uint8Array,
  ): Promise<SaveResult> {
    const namespace = this.#namespaceOf(options);
    const { durable, fingerprint } = options ?? {};
    const { clock, fillerOf } = this.#parts;
    const call = {
      type,
      encode: (rest: Omit<SaveHead, 'namespace' | 'durable' | 'fingerprint'>) =>
        encode({ namespace, durable, fingerprint, ...rest }),
    };
    const { wire: link } = this.#parts;
    const due = payloads.filter(({ length }) => link?.codec.takes(length) === true);
    const wire = await this.#wireOf('save', due.length);
    const plan = savePlan(call, payloads, clock, { fillerOf, wire });
    return this.#run(options, this.#parts.deadlines.saveMs, plan);
  }

  async #wireOf(direction: WireDirection, payloads: number): Promise<CallWire | undefined> {
    const { wire: link, clock } = this.#parts;
    if (link === undefined) return undefined;
    return { link, clock, isWanted: payloads > 0 && (await link.wants(direction, payloads)) };
  }

  #run<Result>(
    options: CallOptions | undefined,
    usualMs: number,
    plan: CallPlan<Result>,
  ): Promise<Result> {
    if (this.#isClosed) return Promise.reject(new StoreError('CLOSED', 'the store was closed'));
    return runCall(this.#parts, options, options?.deadlineMs ?? usualMs, plan);
  }

  #namespaceOf(options: CallOptions | undefined): Namespace {
    return options?.namespace ?? this.#parts.namespace;
  }
}

/** What every load says that may come compressed. */
type LoadHead = reads.CallHead & Pick<reads.Wish, 'mayCompress'>;

function wishOf(options: LoadOptions | undefined): Omit<reads.Wish, 'mayCompress'> {
  return { exact: options?.exact ?? false, fingerprint: options?.fingerprint };
}

function loadedBlock(key: BlockKey, one: LoadedPayload): Borrow['blocks'][number] {
  const { payload, tokens, hasDecodedTokens, tier, crc } = one;
  return { key, payload, tokens, hasDecodedTokens, tier, crc };
}

function payloadBorrow(
  { payload, tier, crc }: LoadedPayload,
  collection: LoadCollection,
): PayloadBorrow {
  return { payload, tier, crc, release: () => collection.release() };
}
