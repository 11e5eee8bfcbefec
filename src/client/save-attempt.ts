import { StoreError } from '../base/errors.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { LentPlace } from '../blocks/served-store.ts';
import type { SharedFiller } from '../cache/shared-reader.ts';
import type { Clock } from '../platform/clock.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import { decodeNumber } from '../protocol/read-messages.ts';
import { decodeLent, decodeSaved, decodeWanted } from '../protocol/write-messages.ts';
import { CompressionAhead } from '../wire/compression-ahead.ts';
import type { WireCodec } from '../wire/wire-codec.ts';
import type { WireLink } from '../wire/wire-link.ts';
import { unreachable } from './client-connection.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Attempt } from './remote-call.ts';

export interface SaveToAttempt {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly isUnasked: boolean;
  /** The daemon has lost what it said to have: the next attempt sends every payload. */
  readonly onResend: () => void;
  /** Fills memory that the daemon lends; the attempt ends it. Undefined: the daemon lends none. */
  readonly filler: SharedFiller | undefined;
  readonly clock: Clock;
  /** Payloads go compressed where that gains something; undefined: as they are. */
  readonly codec: Pick<WireCodec, 'encode'> | undefined;
  /** Told of the transfer when it has ended well. */
  readonly link: Pick<WireLink, 'note'> | undefined;
}

/** What the daemon lets come next: so many bytes, or payloads in these places. */
type Turn = { bytes: number } | { readonly places: readonly LentPlace[] };

/**
 * One attempt to save: says what there is, and sends what the daemon wants, from last to first; or puts it
 * into memory that the daemon lends.
 */
export class SaveAttempt implements Attempt<SaveResult> {
  readonly type: FrameType;
  readonly body: Uint8Array;
  readonly #payloads: readonly Uint8Array[];
  readonly #call: SaveToAttempt;
  #connection: ClientConnection | undefined;
  #id = 0;
  /** What came and is not used up yet. */
  readonly #turns: Turn[] = [];
  /** Indexes of the payloads to send, in order; the rest of them. */
  #toSend: number[] = [];
  #isSending = false;
  #hasEnded = false;
  /** Payloads in the order in which they are sent, from the first one that is wanted on. */
  #ahead: CompressionAhead | undefined;
  #beganMs: number | undefined;
  #rawBytes = 0;
  #wireBytes = 0;

  constructor(call: SaveToAttempt, payloads: readonly Uint8Array[]) {
    this.type = call.type;
    this.body = call.body;
    this.#payloads = payloads;
    this.#call = call;
  }

  started(connection: ClientConnection, id: number): void {
    this.#connection = connection;
    this.#id = id;
    if (!this.#call.isUnasked) return;
    for (let index = this.#payloads.length - 1; index >= 0; index -= 1) {
      connection.sendPayload(id, index, this.#payloads[index]);
    }
    connection.writeOut();
  }

  ended(): undefined {
    this.#hasEnded = true;
    this.#call.filler?.end();
  }

  onFrame(type: FrameType, body: Uint8Array): undefined {
    if (type === 'wanted') this.#begin(body);
    else if (type === 'grant') this.#grant(decodeNumber(body));
    else if (type === 'lent') this.#turns.push({ places: decodeLent(body) });
    else throw new StoreError('INVALID', `a save is not answered by ${type}`);
    void this.#send();
  }

  answer(type: FrameType, body: Uint8Array): SaveResult | 'again' {
    if (type === 'saved') {
      this.#note();
      return decodeSaved(body);
    }
    if (type === 'resend') {
      this.#call.onResend();
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
    if (this.#call.isUnasked || isWanted.length !== this.#payloads.length) {
      throw new StoreError('INVALID', `${isWanted.length} payloads are wanted or not`);
    }
    this.#grant(grantBytes);
    this.#toSend = isWanted.flatMap((wanted, index) => (wanted ? [index] : [])).reverse();
    const { codec, clock } = this.#call;
    this.#beganMs = clock.nowMs();
    if (codec === undefined) return;
    const payloads = this.#toSend.map((index) => this.#payloads[index]);
    this.#ahead = new CompressionAhead(codec, payloads);
  }

  #note(): void {
    const { link, clock } = this.#call;
    if (link === undefined || this.#beganMs === undefined) return;
    const ms = clock.nowMs() - this.#beganMs;
    const [rawBytes, wireBytes] = [this.#rawBytes, this.#wireBytes];
    link.note('save', { rawBytes, wireBytes, linkMs: ms, callMs: ms });
  }

  #grant(bytes: number): void {
    const last = this.#turns.at(-1);
    if (last !== undefined && 'bytes' in last) last.bytes += bytes;
    else this.#turns.push({ bytes });
  }

  /** Sends what is granted, no faster than the system takes it, and fills what is lent. */
  async #send(): Promise<void> {
    if (this.#isSending || this.#hasEnded) return;
    this.#isSending = true;
    try {
      for (let turn = this.#turns.at(0); turn !== undefined; turn = this.#turns.at(0)) {
        if ('places' in turn) await this.#fill(turn.places);
        else await this.#sendGranted(turn);
        // More may be granted for the payload that is next.
        if (this.#hasEnded || ('bytes' in turn && this.#turns.length === 1)) return;
        this.#turns.shift();
      }
    } catch (error) {
      this.#hasEnded = true;
      // It has ended already, or what it said is wrong, or memory cannot be had: the call is made again.
      this.#connection?.destroy(unreachable(error));
    } finally {
      this.#connection?.writeOut();
      this.#isSending = false;
    }
  }

  async #sendGranted(turn: { bytes: number }): Promise<void> {
    const connection = this.#connection;
    for (let index = this.#toSend.at(0); index !== undefined; index = this.#toSend.at(0)) {
      const payload = this.#payloads[index];
      if (this.#hasEnded || connection === undefined || payload.length > turn.bytes) return;
      turn.bytes -= payload.length;
      this.#toSend.shift();
      const encoded = this.#ahead === undefined ? undefined : await this.#ahead.take();
      if (this.#hasEnded) return;
      this.#rawBytes += payload.length;
      this.#wireBytes += encoded?.compressed?.stored.length ?? payload.length;
      connection.sendPayload(this.#id, index, payload, encoded);
      if (connection.queuedBytes > limits.queuedBytesMax / 2) await connection.flushed();
    }
  }

  /**
   * Ends early where the daemon has taken the memory back: what it has to say of that is on its way. Nothing is filled
   * behind it, for the daemon would take what is said of the next group as said of this one.
   */
  async #fill(places: readonly LentPlace[]): Promise<void> {
    const { filler, clock } = this.#call;
    const due = this.#toSend.splice(0, places.length);
    if (filler === undefined || due.length < places.length) {
      throw new StoreError(
        'INVALID',
        `memory for ${places.length} payloads is lent; that many are not due`,
      );
    }
    const crcs: number[] = [];
    let turnBytes = 0;
    for (const [at, place] of places.entries()) {
      const payload = this.#payloads[due[at]];
      turnBytes += payload.length;
      if (turnBytes > limits.turnBytesMax) {
        await clock.yield();
        turnBytes = payload.length;
      }
      const crc = this.#hasEnded ? undefined : filler.fill(place, payload);
      if (crc === undefined) {
        this.#hasEnded = true;
        return;
      }
      crcs.push(crc);
    }
    this.#connection?.sendFilled(this.#id, crcs);
  }
}
