import { assert } from '../base/assert.ts';
import { takeLeadingParts } from '../base/buffer-pool.ts';
import type { BufferPool, ExactMemory, PooledParts } from '../base/buffer-pool.ts';
import { isStoreError, StoreError, storeErrorCodes } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { bulkType } from '../protocol/http1-bulk.ts';
import type { BulkHead } from '../protocol/http1-bulk.ts';
import { headerOf } from '../protocol/http1-head.ts';
import type { ResponseHead } from '../protocol/http1-head.ts';
import { BulkSink, CollectSink } from '../protocol/http1-sink.ts';
import type {
  BeginForm,
  BodySink,
  BulkResult,
  ChecksumOf,
  OpenPlaces,
  TakeMemory,
} from '../protocol/http1-sink.ts';
import { InflatedPayloads } from '../wire/inflated-payloads.ts';
import type { WireCodec } from '../wire/wire-codec.ts';
import type { HttpClientLimits } from './http-limits.ts';
import type { LoadMeter } from './load-meter.ts';

/** Receives one answer: `receive` gives its body a place, `value` reads it or throws. */
export interface Reply<Value> {
  readonly receive: (head: ResponseHead) => BodySink;
  readonly status: number;
  readonly value: () => Value;
}

/** Payloads that came, in memory that is the caller's until it gives it back. */
export interface LoadedBulk {
  readonly head: BulkHead;
  readonly payloads: readonly Uint8Array[];
  readonly release: () => void;
}

/** Payloads of at most these keys, in order. */
export interface BulkWish {
  readonly keys: readonly BlockKey[];
  readonly limits: Pick<HttpClientLimits, 'answerBytesMax' | 'jsonBytesMax'>;
  /** Memory for payloads, and for the bytes of those that come compressed. */
  readonly memory: BufferPool;
  readonly stored: ExactMemory;
  /** The same for what is not used again. */
  readonly takeMemory: TakeMemory;
  readonly checksumOf: ChecksumOf;
  /** For payloads that come compressed; undefined: none may. */
  readonly codec: Pick<WireCodec, 'decode'> | undefined;
  /** Told of the transfer when it has ended well. */
  readonly meter: LoadMeter | undefined;
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

/** An answer that is a bulk body, or a failure in JSON. Owns the memory of payloads until {@link value} gives it. */
export class BulkReply implements Reply<LoadedBulk> {
  readonly #wish: BulkWish;
  readonly #failure: Reply<unknown>;
  #meter: LoadMeter | undefined;
  #sink: BulkSink | undefined;
  #memory: PooledParts | undefined;
  /** Leading payloads that there was memory for. */
  #count = 0;

  constructor(wish: BulkWish) {
    this.#wish = wish;
    this.#failure = jsonReply(wish.limits.jsonBytesMax);
    this.#meter = wish.meter;
    this.#meter?.started();
  }

  get status(): number {
    return this.#sink === undefined ? this.#failure.status : 200;
  }

  readonly receive = (head: ResponseHead): BodySink => {
    if (this.#sink !== undefined) {
      // Of an answer that was cut off; the time of both says nothing of the link.
      this.#meter = undefined;
      this.release();
    }
    if (head.status !== 200) return this.#failure.receive(head);
    if (headerOf(head.headers, 'content-type') !== bulkType) {
      throw new StoreError('UNAVAILABLE', 'the answer is none of WombatKV');
    }
    const byteLength = head.body.kind === 'length' ? head.body.byteLength : undefined;
    const { checksumOf, takeMemory } = this.#wish;
    this.#sink = new BulkSink(this.#openPlaces, byteLength, {
      ...{ checksumOf, takeMemory },
      beginForm: this.#wish.codec && this.#beginForm(this.#wish.codec),
    });
    return this.#sink;
  };

  value(): LoadedBulk {
    if (this.#sink === undefined) {
      this.#failure.value();
      const { status } = this.#failure;
      throw new StoreError('UNAVAILABLE', `the server answered with status ${status}`);
    }
    const memory = this.#memory;
    const { head, payloads } = leadingOf(this.#sink.result, this.#count);
    this.#meter?.ended();
    return { head, payloads, release: () => memory?.release() };
  }

  /** Gives the memory back, as soon as no thread writes there. */
  release(): void {
    const [sink, memory] = [this.#sink, this.#memory];
    [this.#sink, this.#memory] = [undefined, undefined];
    void sink?.close().then(() => memory?.release());
  }

  readonly #openPlaces: OpenPlaces = ({ records }) => {
    const lengths = lengthsOf(records, this.#wish);
    const memory = takeLeadingParts(this.#wish.memory, lengths);
    const { refusal } = memory;
    if (refusal !== undefined && !isStoreError(refusal, 'BUSY')) throw refusal;
    this.#memory = memory;
    this.#leaveOutFrom(memory.parts.length, records.length);
    return {
      take: (index) => {
        // What is dropped is no part of the transfer.
        if (index >= this.#count) return undefined;
        this.#meter?.began({ length: lengths[index], tier: records[index].tier });
        return memory.parts[index];
      },
      came: () => this.#meter?.answered(),
      refused: (index) => this.#leaveOutFrom(index, records.length),
    };
  };

  #leaveOutFrom(index: number, count: number): void {
    this.#count = index;
    if (index < count) this.#meter = undefined;
  }

  #beginForm(codec: Pick<WireCodec, 'decode'>): BeginForm {
    const inflating = new InflatedPayloads(codec, this.#wish.stored);
    return (form, payload) => {
      this.#meter?.shrank(payload.length - form.length);
      return inflating.begin(form, payload);
    };
  }
}

/** The leading payloads of an answer, whose others there was no memory for: as if it had no more. */
function leadingOf({ head, payloads }: BulkResult, count: number): BulkResult {
  if (count === payloads.length) return { head, payloads };
  const records = head.records.slice(0, count);
  const attributes = { ...head.attributes, reason: 'unavailable' };
  return { head: { ...head, records, attributes }, payloads: payloads.slice(0, count) };
}

/** The lengths of payloads that were asked for and may be taken. */
function lengthsOf(
  records: BulkHead['records'],
  { keys, limits: { answerBytesMax } }: BulkWish,
): readonly number[] {
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
  return lengths;
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
