import { BufferPool, exactly } from '../base/buffer-pool.ts';
import type { ExactMemory } from '../base/buffer-pool.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { BlockToSave, SaveResult } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Clock } from '../platform/clock.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import {
  bulkParts,
  bulkType,
  encodeBulkHead,
  payloadBytesHeader,
  payloadBytesOf,
} from '../protocol/http1-bulk.ts';
import type { TakeMemory } from '../protocol/http1-sink.ts';
import { operationPath } from '../protocol/http1-paths.ts';
import type { Operation } from '../protocol/http1-paths.ts';
import { compressedParts } from '../wire/compressed-body.ts';
import type { WireLink } from '../wire/wire-link.ts';
import { callHeaders } from './http-call.ts';
import type { HttpCall, HttpHeaders } from './http-call.ts';
import { BulkReply, jsonReply } from './http-reply.ts';
import type { LoadedBulk, Reply } from './http-reply.ts';
import type { HttpClientLimits } from './http-limits.ts';
import { LeftOutMissing, outgoingOf, partStarts, saveAttributes } from './http-outgoing.ts';
import type { LongSave, SaveBody } from './http-outgoing.ts';
import type { HttpPool } from './http-pool.ts';
import { readBulkVersion, readLeftOut, readSaved, takesCompressed } from './http-values.ts';
import { LoadMeter } from './load-meter.ts';

const encoder = new TextEncoder();

export interface HttpTransferParts {
  readonly pool: HttpPool;
  readonly clock: Clock;
  /** Where memory for payloads that come is taken. */
  readonly memory: PayloadMemory;
  readonly limits: HttpClientLimits;
  /** Of every request. */
  readonly headers: HttpHeaders;
  /** Where payloads that come are checked. */
  readonly checksums: Checksums;
  /** Compression of payloads; none when absent. */
  readonly link: WireLink | undefined;
}

/** What goes over the connections of an HTTP client: questions in JSON, payloads in bulk bodies. */
export class HttpTransfers {
  readonly #parts: HttpTransferParts;
  readonly #takeMemory: TakeMemory;
  readonly #memory: BufferPool;
  /** Where bytes come of payloads that come compressed. */
  readonly #stored: ExactMemory;

  constructor(parts: HttpTransferParts) {
    this.#parts = parts;
    this.#takeMemory = (byteLength) => needMemory(parts.memory, byteLength);
    this.#memory = new BufferPool(parts.limits.pooledBytesMax, this.#takeMemory);
    this.#stored = exactly(this.#memory);
  }

  /** Asks by JSON and is answered by JSON; a plain GET when there is nothing to say. */
  async json(path: string, value: object | undefined, call: HttpCall): Promise<unknown> {
    const reply = jsonReply(this.#parts.limits.jsonBytesMax);
    await this.exchange(path, value, reply, call);
    return reply.value();
  }

  async exchange(
    path: string,
    value: object | undefined,
    reply: Reply<unknown>,
    call: HttpCall,
  ): Promise<void> {
    const bytes = encoder.encode(value === undefined ? '' : JSON.stringify(value));
    await this.#parts.pool.run(
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

  /** Asks by JSON and is answered with payloads of at most these keys, in memory that the caller gives back. */
  async fetch(
    path: string,
    wish: object,
    keys: readonly BlockKey[],
    call: HttpCall,
  ): Promise<LoadedBulk> {
    const { link, clock, limits, checksums, pool } = this.#parts;
    const compressed = (await link?.wants('load', keys.length)) === true;
    const bytes = encoder.encode(JSON.stringify(compressed ? { ...wish, compressed } : wish));
    const reply = new BulkReply({
      ...{ keys, limits, memory: this.#memory, stored: this.#stored },
      takeMemory: this.#takeMemory,
      checksumOf: (payload) => checksums.of(payload),
      codec: compressed ? link?.codec : undefined,
      meter: link && new LoadMeter(link, clock),
    });
    const exchange = {
      method: 'POST' as const,
      path,
      headers: this.#headersOf('application/json', call),
      byteLength: bytes.length,
      body: () => [bytes],
      receive: reply.receive,
    };
    try {
      await pool.run(exchange, keys.length > 1, call.signal);
      return reply.value();
    } catch (error) {
      reply.release();
      throw error;
    }
  }

  /** A save of blocks, of which those that the server has move no bytes. */
  async save(save: BlocksToSave, namespace: Namespace, call: HttpCall): Promise<SaveResult> {
    const { blocks } = save;
    const known = await this.#askStored(blocks, namespace, call);
    try {
      return await this.#saveParts({ ...save, ...known }, namespace, call);
    } catch (error) {
      if (!(error instanceof LeftOutMissing)) throw error;
      const isLeftOut = blocks.map(() => false);
      return await this.#saveParts({ ...save, ...known, isLeftOut }, namespace, call);
    }
  }

  async send(
    operation: Operation,
    namespace: Namespace,
    body: SaveBody,
    call: HttpCall,
  ): Promise<SaveResult> {
    const { outgoing, attributes, isLastFirst = false, codec } = body;
    const records = outgoing.map((one) => ({ ...one, byteLength: one.payload.length }));
    const hasForms = codec !== undefined;
    const head = encodeBulkHead({ records, attributes, isLastFirst, hasForms });
    const payloads = outgoing.filter(({ isLeftOut }) => !isLeftOut);
    if (isLastFirst) payloads.reverse();
    const { limits, link, clock, pool } = this.#parts;
    const reply = jsonReply(limits.jsonBytesMax);
    const rawBytes = payloads.reduce((sum, { payload }) => sum + payload.length, 0);
    const fullLength = head.length + payloadBytesOf(records);
    let sent = { atMs: 0, wireBytes: 0 };
    const onSent = (_rawBytes: number, wireBytes: number): void => {
      sent.wireBytes += wireBytes;
    };
    await pool.run(
      {
        method: 'POST',
        path: operationPath(namespace, operation),
        headers: [
          ...this.#headersOf(bulkType, call),
          ...(hasForms ? [[payloadBytesHeader, String(rawBytes)] as const] : []),
        ],
        byteLength: hasForms ? undefined : fullLength,
        body: () => {
          sent = { atMs: clock.nowMs(), wireBytes: hasForms ? 0 : rawBytes };
          if (codec === undefined) return bulkParts(head, payloads);
          return compressedParts(head, payloads, { codec, onSent });
        },
        receive: reply.receive,
      },
      fullLength > limits.askBytesMin,
      call.signal,
    );
    if (reply.status === 409) throw new LeftOutMissing('payloads left out are gone');
    const result = readSaved(reply.value());
    const ms = clock.nowMs() - sent.atMs;
    link?.note('save', { rawBytes, wireBytes: sent.wireBytes, linkMs: ms, callMs: ms });
    return result;
  }

  /** Which blocks need not be sent, because the server has them, and what it takes. */
  async #askStored(
    blocks: readonly BlockToSave[],
    namespace: Namespace,
    call: HttpCall,
  ): Promise<Pick<LongSave, 'isLeftOut' | 'isLastFirst' | 'codec'>> {
    const lengths = blocks.map(({ payload }) => payload.length);
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    const { limits, link } = this.#parts;
    if (bytes < limits.askBytesMin) {
      return { isLeftOut: blocks.map(() => false), isLastFirst: false, codec: undefined };
    }
    const keys = blocks.map(({ key }) => key);
    const path = operationPath(namespace, 'contains');
    const answer = await this.json(path, { keys, lengths }, call);
    const isLeftOut = readLeftOut(answer, keys.length);
    const due = isLeftOut.filter((one) => !one).length;
    const isCompressed = takesCompressed(answer) && (await link?.wants('save', due)) === true;
    return {
      isLeftOut,
      isLastFirst: readBulkVersion(answer) >= 2 || isCompressed,
      codec: isCompressed ? link?.codec : undefined,
    };
  }

  async #saveParts(
    { blocks, options, isLeftOut, isLastFirst, codec }: LongSave,
    namespace: Namespace,
    call: HttpCall,
  ): Promise<SaveResult> {
    let total: SaveResult = { saved: 0, known: 0, savedBytes: 0 };
    const { saveBytesMax } = this.#parts.limits;
    // What comes compressed takes twice its room at the server.
    const bytesMax = codec === undefined ? saveBytesMax : saveBytesMax / 2;
    const starts = partStarts({ blocks, isLeftOut }, bytesMax);
    // From the last blocks to the first, so that a lookup sees all of them or none.
    for (let part = starts.length - 1; part >= 0; part -= 1) {
      const start = starts[part];
      const parent = start === 0 ? options?.parent : blocks[start - 1].key;
      const outgoing = blocks
        .slice(start, starts[part + 1])
        .map((block, index) => outgoingOf({ ...block, isLeftOut: isLeftOut[start + index] }));
      const attributes = saveAttributes({ ...options, parent });
      const body = { outgoing, attributes, isLastFirst, codec };
      const result = await this.send('save', namespace, body, call);
      total = {
        saved: total.saved + result.saved,
        known: total.known + result.known,
        savedBytes: total.savedBytes + result.savedBytes,
      };
    }
    return total;
  }

  #headersOf(type: string | undefined, call: HttpCall): HttpHeaders {
    return [...this.#parts.headers, ...callHeaders(type, call)];
  }
}

type BlocksToSave = Pick<LongSave, 'blocks' | 'options'>;
