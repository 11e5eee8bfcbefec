import { exactly, takeLeadingParts, takeParts } from '../base/buffer-pool.ts';
import type { PooledParts } from '../base/buffer-pool.ts';
import { StoreError } from '../base/errors.ts';
import { limits as storeLimits } from '../blocks/limits.ts';
import { bulkType, payloadBytesHeader } from '../protocol/http1-bulk.ts';
import type { BulkHead } from '../protocol/http1-bulk.ts';
import { headerOf } from '../protocol/http1-head.ts';
import { BulkSink, CollectSink } from '../protocol/http1-sink.ts';
import type {
  BodySink,
  BulkPlaces,
  BulkResult,
  BulkWays,
  OpenPlaces,
} from '../protocol/http1-sink.ts';
import { InflatedPayloads } from '../wire/inflated-payloads.ts';
import type { HttpAdmission } from './http-admission.ts';
import type { HttpAnswer } from './http-answer.ts';
import type { HttpJob } from './http-exchange.ts';
import type { HttpParts, HttpRequest } from './http-context.ts';
import type { HttpLimits } from './http-limits.ts';
import { parseFields } from './http-fields.ts';
import type { Fields } from './http-fields.ts';

/** A request without a body. */
export function bareJob(answer: () => Promise<HttpAnswer>): HttpJob {
  return { sink: undefined, answer };
}

/** A request with a JSON object. */
export async function jsonJob(
  parts: HttpParts,
  request: HttpRequest,
  answer: (fields: Fields) => Promise<HttpAnswer>,
): Promise<HttpJob> {
  // No type that a browser sends for a form: a page of somebody else must not reach the store.
  requireType(request, 'application/json');
  const { jsonBytesMax } = parts.limits;
  const byteLength = lengthOf(request, jsonBytesMax);
  return entered(parts, request, byteLength ?? jsonBytesMax, (leave) => {
    const sink = new CollectSink(jsonBytesMax, byteLength, parts.takeMemory);
    return { sink, answer: () => answer(parseFields(sink.bytes)), close: leave };
  });
}

/** A request with one payload as it is. */
export async function payloadJob(
  parts: HttpParts,
  request: HttpRequest,
  answer: (payload: Uint8Array) => Promise<HttpAnswer>,
): Promise<HttpJob> {
  const byteLength = lengthOf(request, storeLimits.payloadBytesMax);
  const { chunkedBytesMax } = parts.limits;
  return entered(parts, request, byteLength ?? chunkedBytesMax, (leave) => {
    if (byteLength === undefined) {
      const sink = new CollectSink(chunkedBytesMax, undefined, parts.takeMemory);
      return { sink, answer: () => answer(sink.bytes), close: leave };
    }
    const memory = takeParts(parts.pool, [byteLength]);
    return {
      sink: new FixedSink(memory.parts[0]),
      answer: () => answer(memory.parts[0]),
      close: () => {
        memory.release();
        leave();
      },
    };
  });
}

/** What a bulk body is read by. */
export interface BulkReader {
  /** Its head has come. What this throws is the answer, and no more is read. */
  begin(head: BulkHead): BulkPlaces;
  /** All of it has come. */
  answer(result: BulkResult): Promise<HttpAnswer>;
  /** Nothing comes any more. Resolves when memory that was taken for it is free. */
  close(): Promise<void>;
}

/** A request with a bulk body that is answered when all of it is there. */
export function bulkJob(
  parts: HttpParts,
  request: HttpRequest,
  answer: (body: BulkResult) => Promise<HttpAnswer>,
): Promise<HttpJob> {
  let memory: PooledParts | undefined;
  let refusal: Error | undefined;
  return readBulk(parts, request, {
    begin: (head) => {
      const taken = takeLeadingParts(parts.pool, lengthsOf(head));
      memory = taken;
      refusal = taken.refusal;
      // What there is no memory for is dropped, so that its sender hears why.
      return { take: (index) => taken.parts[index] };
    },
    answer: async (body) => {
      if (refusal !== undefined) throw refusal;
      return answer(body);
    },
    close: () => Promise.resolve(memory?.release()),
  });
}

/** A request with a bulk body, whose room is the client's until the reader has closed. */
export async function readBulk(
  parts: HttpParts,
  request: HttpRequest,
  reader: BulkReader,
): Promise<HttpJob> {
  requireType(request, bulkType);
  const byteLength = lengthOf(request, parts.limits.bodyBytesMax);
  const said = byteLength === undefined ? saidBytes(request, parts.limits) : undefined;
  const bytes = byteLength ?? (said === undefined ? undefined : formsRoom * said);
  let leave = bytes === undefined ? undefined : await enter(parts, request, bytes);
  const open: OpenPlaces = (head) => {
    checkForms(head, byteLength, said);
    leave ??= enterNow(parts, request, lengthsOf(head), head.hasForms === true ? formsRoom : 1);
    return reader.begin(head);
  };
  const sink = new BulkSink(open, byteLength, waysOf(parts));
  const close = async (): Promise<void> => {
    try {
      await sink.close();
      await reader.close();
    } finally {
      leave?.();
    }
  };
  return { sink, answer: () => reader.answer(sink.result), close: () => void close() };
}

/** A payload that comes compressed is in memory twice for a while. */
const formsRoom = 2;

function waysOf({ checksums, wire, pool, counters, takeMemory }: HttpParts): BulkWays {
  const received = counters.compressed.received;
  const inflating = wire && new InflatedPayloads(wire.codec, exactly(pool), received);
  return {
    takeMemory,
    checksumOf: (payload) => checksums.of(payload),
    beginForm: inflating && ((form, payload) => inflating.begin(form, payload)),
  };
}

/** Payload bytes that a client says will come of a body without a length, so that it can wait for room. */
function saidBytes({ head }: HttpRequest, { bodyBytesMax }: HttpLimits): number | undefined {
  const text = headerOf(head.headers, payloadBytesHeader);
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    const got = JSON.stringify(text.slice(0, 40));
    throw new StoreError('INVALID', `${payloadBytesHeader} takes bytes; got ${got}`);
  }
  if (Number(text) <= bodyBytesMax) return Number(text);
  throw new StoreError('TOO_LARGE', `payloads of ${text} bytes; at most ${bodyBytesMax}`);
}

/** The room that was taken is enough for what the head says. */
function checkForms(
  head: BulkHead,
  byteLength: number | undefined,
  said: number | undefined,
): void {
  if (head.hasForms === true && byteLength !== undefined) {
    throw new StoreError('INVALID', 'a body whose payloads have forms comes in chunks');
  }
  const bytes = lengthsOf(head).reduce((sum, length) => sum + length, 0);
  if (said === undefined || bytes <= said) return;
  throw new StoreError('INVALID', `payloads of ${bytes} bytes come; ${said} were said`);
}

function lengthsOf({ records }: BulkHead): readonly number[] {
  return records.map(({ isLeftOut, byteLength }) => (isLeftOut ? 0 : byteLength));
}

/** Memory that is exactly as long as the body. */
class FixedSink implements BodySink {
  readonly #memory: Uint8Array;
  #filled = 0;

  constructor(memory: Uint8Array) {
    this.#memory = memory;
  }

  space(): Uint8Array {
    return this.#memory.subarray(this.#filled);
  }

  took(count: number): void {
    this.#filled += count;
  }

  finish(): void {
    if (this.#filled === this.#memory.length) return;
    const came = `${this.#filled} of ${this.#memory.length} bytes`;
    throw new StoreError('INVALID', `the body ended after ${came}`);
  }
}

/** The stated length, checked before anything is taken; undefined when it comes in chunks. */
function lengthOf({ head }: HttpRequest, byteLengthMax: number): number | undefined {
  if (head.body.kind === 'chunked') return undefined;
  const { byteLength } = head.body;
  if (byteLength <= byteLengthMax) return byteLength;
  throw new StoreError('TOO_LARGE', `a body of ${byteLength} bytes; at most ${byteLengthMax}`);
}

/** A job with room for its body, which is left where there is no memory for one. */
async function entered(
  parts: HttpParts,
  request: HttpRequest,
  bytes: number,
  job: (leave: () => void) => HttpJob,
): Promise<HttpJob> {
  const leave = await enter(parts, request, bytes);
  try {
    return job(leave);
  } catch (error) {
    leave();
    throw error;
  }
}

async function enter(
  { admission }: HttpParts,
  { signal, account }: HttpRequest,
  bytes: number,
): Promise<() => void> {
  await account.bodies.enter(bytes, signal);
  try {
    await admission.enter(bytes, signal);
  } catch (error) {
    account.bodies.leave(bytes);
    throw error;
  }
  return leaver([account.bodies, admission], bytes);
}

function enterNow(
  { admission, limits }: HttpParts,
  { account }: HttpRequest,
  lengths: readonly number[],
  room: number,
): () => void {
  const sum = lengths.reduce((total, length) => total + length, 0);
  if (sum > limits.bodyBytesMax) {
    throw new StoreError('TOO_LARGE', `payloads of ${sum} bytes; at most ${limits.bodyBytesMax}`);
  }
  const bytes = room * sum;
  const entered: HttpAdmission[] = [];
  for (const one of [account.bodies, admission]) {
    if (one.tryEnter(bytes)) entered.push(one);
    else {
      leaver(entered, bytes)();
      throw new StoreError('BUSY', `no room for payloads of ${bytes} bytes in chunks now`);
    }
  }
  return leaver(entered, bytes);
}

function leaver(entered: readonly HttpAdmission[], bytes: number): () => void {
  return () => {
    for (const one of entered) one.leave(bytes);
  };
}

function requireType({ head }: HttpRequest, wanted: string): void {
  const type = headerOf(head.headers, 'content-type')?.split(';')[0].trim().toLowerCase();
  if (type === wanted) return;
  const got = type === undefined ? 'of no type' : type.slice(0, 80);
  throw new MediaTypeError(`the body must be ${wanted}; it is ${got}`);
}

/** The body has another type than the resource takes. */
export class MediaTypeError extends Error {}
