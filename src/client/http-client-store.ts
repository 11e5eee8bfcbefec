import { BufferPool, takeParts } from '../base/buffer-pool.ts';
import type { PooledParts } from '../base/buffer-pool.ts';
import { sharedBytes } from '../base/bytes.ts';
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
import { bulkParts, bulkType, encodeBulkHead, payloadBytesOf } from '../protocol/http1-bulk.ts';
import { statisticsOf } from '../protocol/statistics.ts';
import { operationPath, paths } from '../protocol/http1-paths.ts';
import type { Operation } from '../protocol/http1-paths.ts';
import { callHeaders, HttpCalls, within } from './http-call.ts';
import type { HttpCall, HttpHeaders } from './http-call.ts';
import { bulkReply, jsonReply } from './http-reply.ts';
import type { BulkReply, Reply } from './http-reply.ts';
import { httpClientLimits } from './http-limits.ts';
import type { HttpClientLimits } from './http-limits.ts';
import { LeftOutMissing, outgoingOf, partStarts, saveAttributes } from './http-outgoing.ts';
import type { LongSave, SaveBody } from './http-outgoing.ts';
import { HttpPool } from './http-pool.ts';
import type { HttpPoolOptions } from './http-pool.ts';
import {
  readBulkVersion,
  readDeleted,
  readLeftOut,
  readLoaded,
  readLookup,
  readSaved,
  readStored,
} from './http-values.ts';

export interface HttpClientOptions {
  readonly platform: HttpPoolOptions['platform'];
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
}

/** What reads are given that bring no deadline of their own. */
export interface ReadDeadlines {
  readonly lookupMs: number;
  readonly loadMs: number;
  readonly tailMs: number;
}

const encoder = new TextEncoder();

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
  readonly #headers: HttpHeaders;
  readonly #pool: HttpPool;
  readonly #calls: HttpCalls;
  readonly #memory: BufferPool;
  readonly #checksums: Checksums;

  constructor(options: HttpClientOptions) {
    const { platform, host, port, token } = options;
    this.#limits = { ...httpClientLimits, ...options.limits };
    this.#namespace = options.namespace ?? parseNamespace(defaultNamespaceName);
    this.#deadlines = options.deadlines;
    this.#headers = token === undefined ? [] : [['authorization', `Bearer ${token}`]];
    this.#pool = new HttpPool({ platform, host, port, limits: this.#limits });
    this.#calls = new HttpCalls(platform.clock);
    this.#memory = new BufferPool(this.#limits.pooledBytesMax, sharedBytes);
    this.#checksums = options.checksums ?? directChecksums;
  }

  /**
   * Asks for nothing, which shows whether the server is there and knows the token; what that is good
   * for shows with each call.
   */
  async greet(options: CallOptions): Promise<void> {
    await this.#call(options, async (call, namespace) => {
      const reply = jsonReply(this.#limits.jsonBytesMax);
      await this.#exchange(operationPath(namespace, 'contains'), { keys: [] }, reply, call);
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
    const { head, payloads, memory } = await this.#fetch('load', wish, keys, options);
    const { reason } = readLookup({ ...head.attributes, matched: payloads.length }, keys.length);
    const blocks = head.records.map(({ key, tokens, hasDecodedTokens, tier }, index) => ({
      ...{ key, tokens, hasDecodedTokens },
      tier: tier ?? 'memory',
      payload: payloads[index],
    }));
    return { blocks, reason, release: () => memory.release() };
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    return this.#call(options, async (call, namespace) => {
      const stored = await this.#askStored(blocks, namespace, call);
      try {
        return await this.#saveParts({ blocks, options, ...stored }, namespace, call);
      } catch (error) {
        if (!(error instanceof LeftOutMissing)) throw error;
        const isLeftOut = blocks.map(() => false);
        return await this.#saveParts({ blocks, options, ...stored, isLeftOut }, namespace, call);
      }
    });
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    const { tip } = query;
    const tokens = Array.from(query.tokens);
    const wish = { tip, tokens, exact: options?.exact, fingerprint: options?.fingerprint };
    const { head, payloads, memory } = await this.#fetch('load-tail', wish, [tip], options);
    if (payloads.length === 0) return undefined;
    const [{ hasDecodedTokens, tier }] = head.records;
    const covered = readLoaded({ loaded: head.attributes['tokens'] }, tokens.length);
    return {
      payload: payloads[0],
      tier: tier ?? 'memory',
      tokens: covered,
      hasDecodedTokens,
      release: () => memory.release(),
    };
  }

  async saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    const { tip, payload, position, hasDecodedTokens } = tail;
    const attributes = { ...saveAttributes(options), tokens: Array.from(tail.tokens) };
    const outgoing = outgoingOf({ key: tip, payload, position, hasDecodedTokens });
    return this.#call(options, (call, namespace) =>
      this.#send('save-tail', namespace, { outgoing: [outgoing], attributes }, call),
    );
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    const { head, payloads, memory } = await this.#fetch('load-raw-tail', { tip }, [tip], options);
    if (payloads.length === 0) return undefined;
    const tier = head.records[0].tier ?? 'memory';
    return { payload: payloads[0], tier, release: () => memory.release() };
  }

  async saveRawTail(
    tip: BlockKey,
    payload: Uint8Array,
    options?: SaveOptions,
  ): Promise<SaveResult> {
    const attributes = saveAttributes(options);
    const outgoing = outgoingOf({ key: tip, payload });
    return this.#call(options, (call, namespace) =>
      this.#send('save-raw-tail', namespace, { outgoing: [outgoing], attributes }, call),
    );
  }

  async prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    const timed = within(options, this.#deadlines?.loadMs);
    return readLoaded(await this.#ask('prefetch', { keys }, timed), keys.length);
  }

  async flush(options?: CallOptions): Promise<void> {
    await this.#call(options, (call) => this.#json(paths.flush, {}, call), this.#limits.flushMs);
  }

  async delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    return readDeleted(await this.#ask('delete', { ...selection }, options));
  }

  async stats(options?: CallOptions): Promise<StoreStats> {
    return statisticsOf(
      await this.#call(options, (call) => this.#json(paths.stats, undefined, call)),
    );
  }

  async close(): Promise<void> {
    this.#calls.close();
    this.#pool.close();
    await this.#checksums.close();
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
      this.#json(operationPath(namespace, operation), value, call),
    );
  }

  /** Asks by JSON and is answered by JSON; a plain GET when there is nothing to say. */
  async #json(path: string, value: object | undefined, call: HttpCall): Promise<unknown> {
    const reply = jsonReply(this.#limits.jsonBytesMax);
    await this.#exchange(path, value, reply, call);
    return reply.value();
  }

  async #exchange(
    path: string,
    value: object | undefined,
    reply: Reply<unknown>,
    call: HttpCall,
  ): Promise<void> {
    const bytes = encoder.encode(value === undefined ? '' : JSON.stringify(value));
    await this.#pool.run(
      {
        method: value === undefined ? 'GET' : 'POST',
        path,
        headers: this.#headersOf(value === undefined ? undefined : 'application/json', call),
        byteLength: bytes.length,
        body: () => [bytes],
        receive: reply.receive,
      },
      false,
      call.signal,
    );
  }

  /** Asks by JSON and is answered with payloads of at most these keys. */
  #fetch(
    operation: Operation,
    value: object,
    keys: readonly BlockKey[],
    options: CallOptions | undefined,
  ): Promise<BulkReply & { readonly memory: PooledParts }> {
    const bytes = encoder.encode(JSON.stringify(value));
    const usual = operation === 'load' ? this.#deadlines?.loadMs : this.#deadlines?.tailMs;
    return this.#call(within(options, usual), async (call, namespace) => {
      let memory: PooledParts | undefined;
      const { answerBytesMax, jsonBytesMax } = this.#limits;
      const reply = bulkReply({
        keys,
        answerBytesMax,
        jsonBytesMax,
        checksumOf: (payload) => this.#checksums.of(payload),
        takeMemory: (lengths) => {
          memory?.release();
          memory = takeParts(this.#memory, lengths);
          return memory.parts;
        },
      });
      const exchange = {
        method: 'POST' as const,
        path: operationPath(namespace, operation),
        headers: this.#headersOf('application/json', call),
        byteLength: bytes.length,
        body: () => [bytes],
        receive: reply.receive,
      };
      try {
        await this.#pool.run(exchange, keys.length > 1, call.signal);
        const value = reply.value();
        return { ...value, memory: memory ?? takeParts(this.#memory, []) };
      } catch (error) {
        memory?.release();
        throw error;
      }
    });
  }

  /** Which blocks need not be sent, because the server has them, and what it takes. */
  async #askStored(
    blocks: readonly BlockToSave[],
    namespace: Namespace,
    call: HttpCall,
  ): Promise<Pick<LongSave, 'isLeftOut' | 'isLastFirst'>> {
    const lengths = blocks.map(({ payload }) => payload.length);
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    if (bytes < this.#limits.askBytesMin) {
      return { isLeftOut: blocks.map(() => false), isLastFirst: false };
    }
    const keys = blocks.map(({ key }) => key);
    const path = operationPath(namespace, 'contains');
    const answer = await this.#json(path, { keys, lengths }, call);
    const isLeftOut = readLeftOut(answer, keys.length);
    return { isLeftOut, isLastFirst: readBulkVersion(answer) >= 2 };
  }

  async #saveParts(
    { blocks, options, isLeftOut, isLastFirst }: LongSave,
    namespace: Namespace,
    call: HttpCall,
  ): Promise<SaveResult> {
    let total: SaveResult = { saved: 0, known: 0, savedBytes: 0 };
    const starts = partStarts({ blocks, isLeftOut }, this.#limits.saveBytesMax);
    // From the last blocks to the first, so that a lookup sees all of them or none.
    for (let part = starts.length - 1; part >= 0; part -= 1) {
      const start = starts[part];
      const parent = start === 0 ? options?.parent : blocks[start - 1].key;
      const outgoing = blocks
        .slice(start, starts[part + 1])
        .map((block, index) => outgoingOf({ ...block, isLeftOut: isLeftOut[start + index] }));
      const attributes = saveAttributes({ ...options, parent });
      const result = await this.#send(
        'save',
        namespace,
        { outgoing, attributes, isLastFirst },
        call,
      );
      total = {
        saved: total.saved + result.saved,
        known: total.known + result.known,
        savedBytes: total.savedBytes + result.savedBytes,
      };
    }
    return total;
  }

  async #send(
    operation: Operation,
    namespace: Namespace,
    { outgoing, attributes, isLastFirst = false }: SaveBody,
    call: HttpCall,
  ): Promise<SaveResult> {
    const records = outgoing.map((one) => ({ ...one, byteLength: one.payload.length }));
    const head = encodeBulkHead({ records, attributes, isLastFirst });
    const payloads = outgoing.filter(({ isLeftOut }) => !isLeftOut);
    if (isLastFirst) payloads.reverse();
    const reply = jsonReply(this.#limits.jsonBytesMax);
    const byteLength = head.length + payloadBytesOf(records);
    await this.#pool.run(
      {
        method: 'POST',
        path: operationPath(namespace, operation),
        headers: this.#headersOf(bulkType, call),
        byteLength,
        body: () => bulkParts(head, payloads),
        receive: reply.receive,
      },
      byteLength > this.#limits.askBytesMin,
      call.signal,
    );
    if (reply.status === 409) throw new LeftOutMissing('payloads left out are gone');
    return readSaved(reply.value());
  }

  #headersOf(type: string | undefined, call: HttpCall): HttpHeaders {
    return [...this.#headers, ...callHeaders(type, call)];
  }
}
