import type { CompressedForm } from '../protocol/read-messages.ts';
import type { WireCodec } from './wire-codec.ts';

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

/** Where memory comes from for bytes that come: shared, and of exactly that length. */
interface StoredMemory {
  take(length: number): Uint8Array;
  give(stored: Uint8Array): void;
}

/** Told of each payload that came compressed. */
interface Traffic {
  add(rawBytes: number, wireBytes: number): void;
}

/** Makes payloads of what comes compressed. */
export class InflatedPayloads {
  readonly #codec: Pick<WireCodec, 'decode'>;
  readonly #memory: StoredMemory;
  readonly #traffic: Traffic | undefined;

  constructor(codec: Pick<WireCodec, 'decode'>, memory: StoredMemory, traffic?: Traffic) {
    this.#codec = codec;
    this.#memory = memory;
    this.#traffic = traffic;
  }

  /** The payload's memory is shared, too. */
  begin(form: CompressedForm, payload: Uint8Array): InflatingPayload {
    const stored = this.#memory.take(form.length);
    return {
      stored,
      payload,
      finish: async () => {
        this.#traffic?.add(payload.length, stored.length);
        try {
          return await this.#codec.decode(stored, form, payload);
        } finally {
          this.#memory.give(stored);
        }
      },
      giveUp: () => this.#memory.give(stored),
    };
  }
}
