import { assert } from '../base/assert.ts';
import { StoreError, storeErrorCodes } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { bulkType } from '../protocol/http1-bulk.ts';
import type { BulkHead } from '../protocol/http1-bulk.ts';
import { headerOf } from '../protocol/http1-head.ts';
import type { ResponseHead } from '../protocol/http1-head.ts';
import { BulkSink, CollectSink } from '../protocol/http1-sink.ts';
import type { BodySink, ChecksumOf, OpenPlaces } from '../protocol/http1-sink.ts';

/** Receives one answer: `receive` gives its body a place, `value` reads it or throws. */
export interface Reply<Value> {
  readonly receive: (head: ResponseHead) => BodySink;
  readonly status: number;
  readonly value: () => Value;
}

export interface BulkReply {
  readonly head: BulkHead;
  readonly payloads: readonly Uint8Array[];
}

/** Payloads of at most these keys, in order. */
export interface BulkWish {
  readonly keys: readonly BlockKey[];
  readonly answerBytesMax: number;
  readonly jsonBytesMax: number;
  readonly takeMemory: (lengths: readonly number[]) => readonly Uint8Array[];
  readonly checksumOf: ChecksumOf;
}

/** An answer in JSON. `value` throws the `StoreError` that an answer of failure stands for. */
export function jsonReply(byteLengthMax: number): Reply<unknown> {
  let head: ResponseHead | undefined;
  let sink: CollectSink | undefined;
  return {
    receive: (received) => {
      head = received;
      sink = collectSink(received, byteLengthMax);
      return sink;
    },
    get status() {
      return head?.status ?? 0;
    },
    value: () => {
      assert(head !== undefined && sink !== undefined, 'an answer was received');
      const value = parseJson(sink.bytes);
      if (head.status < 200 || head.status > 299) throw failureOf(head, value);
      return value;
    },
  };
}

/** An answer that is a bulk body, or a failure in JSON. */
export function bulkReply(wish: BulkWish): Reply<BulkReply> {
  const failure = jsonReply(wish.jsonBytesMax);
  let sink: BulkSink | undefined;
  return {
    receive: (head) => {
      sink = undefined;
      if (head.status !== 200) return failure.receive(head);
      if (headerOf(head.headers, 'content-type') !== bulkType) {
        throw new StoreError('UNAVAILABLE', 'the answer is none of WombatKV');
      }
      const byteLength = head.body.kind === 'length' ? head.body.byteLength : undefined;
      const openPlaces: OpenPlaces = ({ records }) => {
        const memory = memoryFor(records, wish);
        return { take: (index) => memory[index] };
      };
      sink = new BulkSink(openPlaces, byteLength, wish.checksumOf);
      return sink;
    },
    get status() {
      return sink === undefined ? failure.status : 200;
    },
    value: () => {
      if (sink !== undefined) return sink.result;
      failure.value();
      throw new StoreError('UNAVAILABLE', `the server answered with status ${failure.status}`);
    },
  };
}

function memoryFor(
  records: BulkHead['records'],
  { keys, answerBytesMax, takeMemory }: BulkWish,
): readonly Uint8Array[] {
  const isWrong = records.some(({ key, isLeftOut }, index) => key !== keys[index] || isLeftOut);
  if (records.length > keys.length || isWrong) {
    throw new StoreError('UNAVAILABLE', 'the answer holds payloads that were not asked for');
  }
  const lengths = records.map(({ byteLength }) => byteLength);
  const bytes = lengths.reduce((sum, length) => sum + length, 0);
  if (bytes > answerBytesMax) {
    throw new StoreError(
      'TOO_LARGE',
      `the answer claims ${bytes} bytes; at most ${answerBytesMax} are taken`,
    );
  }
  return takeMemory(lengths);
}

function collectSink(head: ResponseHead, byteLengthMax: number): CollectSink {
  if (head.body.kind === 'chunked') return new CollectSink(byteLengthMax);
  const { byteLength } = head.body;
  if (byteLength <= byteLengthMax) return new CollectSink(byteLengthMax, byteLength);
  throw new StoreError('UNAVAILABLE', `the answer claims ${byteLength} bytes of JSON`);
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new StoreError('UNAVAILABLE', 'the answer is not JSON', { cause });
  }
}

/** The error that the answer stands for. A server that closes its store is one that is gone. */
function failureOf({ status }: ResponseHead, value: unknown): StoreError {
  if (status >= 300 && status <= 399) {
    return new StoreError('UNAVAILABLE', `status ${status}: redirects are not followed`);
  }
  const error = isObject(value) && isObject(value['error']) ? value['error'] : {};
  const said = storeErrorCodes.find((code) => code === error['code']);
  const code = said === 'CLOSED' ? 'UNAVAILABLE' : (said ?? 'UNAVAILABLE');
  const reason = typeof error['reason'] === 'string' ? error['reason'].slice(0, 1000) : 'no reason';
  return new StoreError(code, `the server says (status ${status}): ${reason}`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
