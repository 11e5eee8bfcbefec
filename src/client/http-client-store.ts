import type { StoreError } from '../base/errors.ts';
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
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { directChecksums } from '../platform/checksums.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Platform } from '../platform/platform.ts';
import { statisticsOf } from '../protocol/statistics.ts';
import { operationPath, paths } from '../protocol/http1-paths.ts';
import type { Operation } from '../protocol/http1-paths.ts';
import type { WireLink } from '../wire/wire-link.ts';
import { HttpCalls, within } from './http-call.ts';
import type { HttpCall } from './http-call.ts';
import { jsonReply } from './http-reply.ts';
import type { LoadedBulk } from './http-reply.ts';
import { httpClientLimits } from './http-limits.ts';
import type { HttpClientLimits } from './http-limits.ts';
import { outgoingOf, saveAttributes } from './http-outgoing.ts';
import { HttpPool } from './http-pool.ts';
import type { HttpPoolOptions } from './http-pool.ts';
import { HttpTransfers } from './http-transfers.ts';
import { readDeleted, readLoaded, readLookup, readStored } from './http-values.ts';

export interface HttpClientOptions {
  readonly platform: HttpPoolOptions['platform'] & Pick<Platform, 'memory'>;
  readonly host: string;
  readonly port: number;
  /** The namespace of calls that name none; `default` when absent. */
  readonly namespace?: Namespace | undefined;
  /** Sent as `Authorization: Bearer`. */
  readonly token?: string | undefined;
  /** Those of the server's store when absent. */
  readonly deadlines?: ReadDeadlines | undefined;
  readonly limits?: Partial<HttpClientLimits> | undefined;
  /** Where payloads that come are checked; on this thread when absent. The store closes it. */
  readonly checksums?: Checksums | undefined;
  /** Compression of payloads, which the store closes; none when absent. */
  readonly wire?: WireLink | undefined;
}

/** What reads are given that bring no deadline of their own. */
export interface ReadDeadlines {
  readonly lookupMs: number;
  readonly loadMs: number;
  readonly tailMs: number;
}

/**
 * A store behind an HTTP server (docs/HTTP.md). Closing it leaves the server's store open; loads
 * that were lent stay valid. Its arguments have been checked (`ClientStore`).
 *
 * @example
 * ```ts
 * const store = new HttpClientStore({ platform, host: '127.0.0.1', port: 8080 });
 * const { matched } = await store.lookup(keys);
 * ```
 */
export class HttpClientStore implements KvStore {
  readonly #limits: HttpClientLimits;
  readonly #namespace: Namespace;
  readonly #deadlines: ReadDeadlines | undefined;
  readonly #pool: HttpPool;
  readonly #calls: HttpCalls;
  readonly #transfers: HttpTransfers;
  readonly #checksums: Checksums;
  readonly #wire: WireLink | undefined;

  constructor(options: HttpClientOptions) {
    const { platform, host, port, token } = options;
    this.#limits = { ...httpClientLimits, ...options.limits };
    this.#namespace = options.namespace ?? parseNamespace(defaultNamespaceName);
    this.#deadlines = options.deadlines;
    this.#pool = new HttpPool({ platform, host, port, limits: this.#limits });
    this.#calls = new HttpCalls(platform.clock);
    this.#checksums = options.checksums ?? directChecksums;
    this.#wire = options.wire;
    this.#transfers = new HttpTransfers({
      ...{ pool: this.#pool, clock: platform.clock, memory: platform.memory, limits: this.#limits },
      headers: token === undefined ? [] : [['authorization', `Bearer ${token}`]],
      ...{ checksums: this.#checksums, link: this.#wire },
    });
  }

  /**
   * Asks for nothing, which shows whether the server is there and knows the token; what that is good
   * for shows with each call.
   */
  async greet(options: CallOptions): Promise<void> {
    await this.#call(options, async (call, namespace) => {
      const reply = jsonReply(this.#limits.jsonBytesMax);
      const path = operationPath(namespace, 'contains');
      await this.#transfers.exchange(path, { keys: [] }, reply, call);
      if (reply.status !== 403) readStored(reply.value(), 0);
    });
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    const timed = within(options, this.#deadlines?.lookupMs);
    return readLookup(await this.#ask('lookup', { keys }, timed), keys.length);
  }

  async contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    const timed = within(options, this.#deadlines?.loadMs);
    return readStored(await this.#ask('contains', { keys }, timed), keys.length);
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    const wish = { keys, exact: options?.exact, fingerprint: options?.fingerprint };
    const { head, payloads, release } = await this.#fetch('load', wish, keys, options);
    const { reason } = readLookup({ ...head.attributes, matched: payloads.length }, keys.length);
    const blocks = head.records.map(({ key, tokens, hasDecodedTokens, tier }, index) => ({
      ...{ key, tokens, hasDecodedTokens },
      tier: tier ?? 'memory',
      payload: payloads[index],
    }));
    return { blocks, reason, release };
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    return this.#call(options, (call, namespace) =>
      this.#transfers.save({ blocks, options }, namespace, call),
    );
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    const { tip } = query;
    const tokens = Array.from(query.tokens);
    const wish = { tip, tokens, exact: options?.exact, fingerprint: options?.fingerprint };
    const { head, payloads, release } = await this.#fetch('load-tail', wish, [tip], options);
    if (payloads.length === 0) return undefined;
    const [{ hasDecodedTokens, tier }] = head.records;
    const covered = readLoaded({ loaded: head.attributes['tokens'] }, tokens.length);
    return {
      payload: payloads[0],
      tier: tier ?? 'memory',
      tokens: covered,
      hasDecodedTokens,
      release,
    };
  }

  async saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    const { tip, payload, position, hasDecodedTokens } = tail;
    const attributes = { ...saveAttributes(options), tokens: Array.from(tail.tokens) };
    const outgoing = outgoingOf({ key: tip, payload, position, hasDecodedTokens });
    return this.#call(options, (call, namespace) =>
      this.#transfers.send('save-tail', namespace, { outgoing: [outgoing], attributes }, call),
    );
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    const { head, payloads, release } = await this.#fetch('load-raw-tail', { tip }, [tip], options);
    if (payloads.length === 0) return undefined;
    const tier = head.records[0].tier ?? 'memory';
    return { payload: payloads[0], tier, release };
  }

  async saveRawTail(
    tip: BlockKey,
    payload: Uint8Array,
    options?: SaveOptions,
  ): Promise<SaveResult> {
    const attributes = saveAttributes(options);
    const outgoing = outgoingOf({ key: tip, payload });
    return this.#call(options, (call, namespace) =>
      this.#transfers.send('save-raw-tail', namespace, { outgoing: [outgoing], attributes }, call),
    );
  }

  async prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    const timed = within(options, this.#deadlines?.loadMs);
    return readLoaded(await this.#ask('prefetch', { keys }, timed), keys.length);
  }

  async flush(options?: CallOptions): Promise<void> {
    await this.#call(
      options,
      (call) => this.#transfers.json(paths.flush, {}, call),
      this.#limits.flushMs,
    );
  }

  async delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    return readDeleted(await this.#ask('delete', { ...selection }, options));
  }

  async stats(options?: CallOptions): Promise<StoreStats> {
    return statisticsOf(
      await this.#call(options, (call) => this.#transfers.json(paths.stats, undefined, call)),
    );
  }

  async close(): Promise<void> {
    this.#calls.close();
    this.#pool.close();
    await Promise.all([this.#checksums.close(), this.#wire?.close()]);
  }

  #call<Result>(
    options: CallOptions | undefined,
    task: (call: HttpCall, namespace: Namespace) => Promise<Result>,
    mostMs = this.#limits.callMs,
  ): Promise<Result> {
    const { graceMs } = this.#limits;
    const onExpiry = (error: StoreError): void => this.#pool.suspect(error);
    return this.#calls.run(options, { mostMs, graceMs, onExpiry }, (call) =>
      task(call, options?.namespace ?? this.#namespace),
    );
  }

  #ask(operation: Operation, value: object, options: CallOptions | undefined): Promise<unknown> {
    return this.#call(options, (call, namespace) =>
      this.#transfers.json(operationPath(namespace, operation), value, call),
    );
  }

  /** Asks by JSON and is answered with payloads of at most these keys. */
  #fetch(
    operation: Operation,
    value: object,
    keys: readonly BlockKey[],
    options: CallOptions | undefined,
  ): Promise<LoadedBulk> {
    const usual = operation === 'load' ? this.#deadlines?.loadMs : this.#deadlines?.tailMs;
    return this.#call(within(options, usual), (call, namespace) =>
      this.#transfers.fetch(operationPath(namespace, operation), value, keys, call),
    );
  }
}
