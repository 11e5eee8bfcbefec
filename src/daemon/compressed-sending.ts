import { crc32c } from '../base/crc32c.ts';
import { encodePayloadNotice } from '../protocol/read-messages.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import { CompressionAhead } from '../wire/compression-ahead.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { DaemonCounters } from './daemon-counters.ts';
import type { FrameSink } from './served-call.ts';

/** What is said of a payload beside its bytes. */
export type PayloadFacts = Omit<PayloadNotice, 'length' | 'crc' | 'compressed'>;

/** A payload on loan. */
interface LentPayload {
  readonly payload: Uint8Array;
  readonly crc?: number | undefined;
}

/** Sends payloads of one answer, in the order that is given here, compressed where that was agreed. */
export class PayloadSender {
  readonly #sink: FrameSink;
  readonly #id: number;
  readonly #counters: DaemonCounters;
  readonly #ahead: CompressionAhead | undefined;

  /** `door` is undefined where payloads go as they are. */
  constructor(
    to: { readonly sink: FrameSink; readonly id: number },
    payloads: readonly Uint8Array[],
    door: WireDoor | undefined,
    counters: DaemonCounters,
  ) {
    this.#sink = to.sink;
    this.#id = to.id;
    this.#counters = counters;
    const codec = door?.sender;
    this.#ahead = codec === undefined ? undefined : new CompressionAhead(codec, payloads);
  }

  /** The next payload: something to wait for where threads have not compressed it yet. */
  send(facts: PayloadFacts, lent: LentPayload): Promise<void> | undefined {
    if (this.#ahead !== undefined) return this.#sendCompressed(this.#ahead, facts, lent);
    this.#sendRaw(facts, lent);
    return undefined;
  }

  async #sendCompressed(
    ahead: CompressionAhead,
    facts: PayloadFacts,
    lent: LentPayload,
  ): Promise<void> {
    const encoded = await ahead.take();
    const crc = lent.crc ?? encoded?.crc;
    if (encoded?.compressed === undefined || crc === undefined) {
      this.#sendRaw(facts, { ...lent, crc });
      return;
    }
    const { form, stored } = encoded.compressed;
    const { length } = lent.payload;
    this.#counters.compressed.sent.add(length, stored.length);
    const notice = encodePayloadNotice({ ...facts, length, crc, compressed: form });
    this.#sink.sendPayload(this.#id, notice, stored);
  }

  #sendRaw(facts: PayloadFacts, { payload, crc }: LentPayload): void {
    const { length } = payload;
    const notice = encodePayloadNotice({ ...facts, length, crc: crc ?? crc32c(payload) });
    this.#sink.sendPayload(this.#id, notice, payload);
  }
}
