import { StoreError } from '../base/errors.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import type { FrameType } from '../protocol/frame-types.ts';

/** Where the payloads of a save go. */
export interface PayloadIntake {
  /** A payload begins. What it throws ends the connection. */
  begin(notice: PayloadNotice): void;
  /**
   * Memory for the next piece, of exactly that length; undefined where the save has failed and what still comes of it is
   * dropped. What it throws ends the connection.
   */
  target(length: number): Uint8Array | undefined;
  /** The piece is there. */
  filled(length: number): void;
  /**
   * The client has filled the memory that was lent first, with payloads of these checksums. What it throws ends the
   * connection.
   */
  fill(crcs: readonly number[]): void;
  /** Nothing more is read into the memory that {@link target} gave last. */
  lost(): void;
}

/** One call under way at the daemon. */
export class ServedCall {
  readonly id: number;
  readonly #controller = new AbortController();
  /** Set while payloads are expected. */
  intake: PayloadIntake | undefined;
  #hasEnded = false;

  constructor(id: number) {
    this.id = id;
  }

  /** Fires when the client has left or does not want the answer any more. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  cancel(why: string): void {
    this.#controller.abort(new StoreError('ABORTED', why));
  }

  end(): void {
    this.#hasEnded = true;
    this.intake = undefined;
  }
}

/** Sends frames to the client of one connection. */
export interface FrameSink {
  readonly queuedBytes: number;
  send(type: FrameType, id: number, body?: Uint8Array): void;
  /**
   * A payload in pieces, which goes out together with what follows, at {@link flushed} at the latest.
   * Its memory must not change until that resolves.
   */
  sendPayload(id: number, notice: Uint8Array, payload: Uint8Array): void;
  flushed(): Promise<void>;
}
