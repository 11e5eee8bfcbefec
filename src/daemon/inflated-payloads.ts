import type { CompressedForm } from '../protocol/read-messages.ts';
import type { WireCodec } from '../wire/wire-codec.ts';
import type { CompressedTraffic } from './daemon-counters.ts';
import type { PayloadPool } from './intake-memory.ts';

/** A payload that comes compressed. */
export interface InflatingPayload {
  /** Memory for the bytes that come, and that of the payload, which a thread writes. */
  readonly stored: Uint8Array;
  readonly payload: Uint8Array;
  /**
   * All bytes are there. Resolves to the checksum of the payload; settles when no thread touches either memory any
   * more. Rejects with `CORRUPT` when they make no payload of its length.
   */
  finish(): Promise<number>;
  /** No more bytes come. */
  giveUp(): void;
}

/** Makes payloads of what comes compressed. */
export class InflatedPayloads {
  readonly #codec: Pick<WireCodec, 'decode'>;
  readonly #pool: PayloadPool;
  readonly #traffic: CompressedTraffic;

  /** Bytes that come lie in memory of the pool, which is shared. */
  constructor(codec: Pick<WireCodec, 'decode'>, pool: PayloadPool, traffic: CompressedTraffic) {
    this.#codec = codec;
    this.#pool = pool;
    this.#traffic = traffic;
  }

  begin(form: CompressedForm, payload: Uint8Array): InflatingPayload {
    const stored = this.#pool.take(form.length);
    return {
      stored,
      payload,
      finish: async () => {
        this.#traffic.add(payload.length, stored.length);
        try {
          return await this.#codec.decode(stored, form, payload);
        } finally {
          this.#pool.give(stored);
        }
      },
      giveUp: () => this.#pool.give(stored),
    };
  }
}
