import { StoreError } from '../base/errors.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import { decodeNumber } from '../protocol/read-messages.ts';
import { decodeSaved, decodeWanted } from '../protocol/write-messages.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Attempt } from './remote-call.ts';

export interface SaveToAttempt {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly isUnasked: boolean;
  /** The daemon has lost what it said to have: the next attempt sends every payload. */
  readonly onResend: () => void;
}

/** One attempt to save: says what there is, and sends what the daemon wants, from last to first. */
export class SaveAttempt implements Attempt<SaveResult> {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly #payloads: readonly Uint8Array[];
  readonly #isUnasked: boolean;
  readonly #onResend: () => void;
  #connection: ClientConnection | undefined;
  #id = 0;
  #granted = 0;
  /** Places of the payloads to send, in order; the rest of them. */
  #toSend: number[] = [];
  #isSending = false;
  #hasEnded = false;

  constructor(call: SaveToAttempt, payloads: readonly Uint8Array[]) {
    this.type = call.type;
    this.body = call.body;
    this.#payloads = payloads;
    this.#isUnasked = call.isUnasked;
    this.#onResend = call.onResend;
  }

  started(connection: ClientConnection, id: number): void {
    this.#connection = connection;
    this.#id = id;
    if (!this.#isUnasked) return;
    for (let index = this.#payloads.length - 1; index >= 0; index -= 1) {
      connection.sendPayload(id, index, this.#payloads[index]);
    }
    connection.writeOut();
  }

  ended(): undefined {
    this.#hasEnded = true;
  }

  onFrame(type: FrameType, body: Uint8Array): void {
    if (type === 'wanted') this.#begin(body);
    else if (type === 'grant') this.#granted += decodeNumber(body);
    else throw new StoreError('INVALID', `a save is not answered by ${type}`);
    void this.#send();
  }

  answer(type: FrameType, body: Uint8Array): SaveResult | 'again' {
    if (type === 'saved') return decodeSaved(body);
    if (type === 'resend') {
      this.#onResend();
      return 'again';
    }
    throw new StoreError('INVALID', `a save is not answered by ${type}`);
  }

  dataTarget(length: number): Uint8Array {
    throw new StoreError('INVALID', `${length} bytes of a payload came for a save`);
  }

  onData(): void {}

  #begin(body: Uint8Array): void {
    const { isWanted, grantBytes } = decodeWanted(body);
    if (this.#isUnasked || isWanted.length !== this.#payloads.length) {
      throw new StoreError('INVALID', `${isWanted.length} payloads are wanted or not`);
    }
    this.#granted += grantBytes;
    this.#toSend = isWanted.flatMap((wanted, index) => (wanted ? [index] : [])).reverse();
  }

  /** Sends what is granted, no faster than the system takes it. */
  async #send(): Promise<void> {
    const connection = this.#connection;
    if (this.#isSending || connection === undefined) return;
    this.#isSending = true;
    try {
      for (let index = this.#toSend.at(0); index !== undefined; index = this.#toSend.at(0)) {
        const payload = this.#payloads[index];
        if (this.#hasEnded || payload.length > this.#granted) return;
        this.#granted -= payload.length;
        this.#toSend.shift();
        connection.sendPayload(this.#id, index, payload);
        if (connection.queuedBytes > limits.queuedBytesMax / 2) await connection.flushed();
      }
    } catch {
      // The connection has ended, and so has the call by it.
      this.#hasEnded = true;
    } finally {
      connection.writeOut();
      this.#isSending = false;
    }
  }
}
