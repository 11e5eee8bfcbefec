import type { Socket } from 'node:net';

/**
 * Bytes that one connection hands to the system before others have their turn. The system takes them
 * at the speed at which a reader beside it makes room, up to 32 writes in a row: a small call waited
 * for 16 MiB and more (docs/decisions/0057).
 */
const turnBytesMax = 1024 * 1024;

interface Waiter {
  /** Bytes that the system must have taken. */
  readonly until: number;
  resolve(): void;
  reject(error: Error): void;
}

/** Parts that are handed over together. */
interface Batch {
  readonly parts: readonly Uint8Array[];
  readonly byteLength: number;
}

/** Writes to a socket in short turns, in order. What waits is bounded by whoever writes. */
export class PacedWriter {
  readonly #socket: Socket;
  #queue: Batch[] = [];
  readonly #waiting = new Set<Waiter>();
  /** Bytes that were ever written, handed over, and taken by the system. */
  #written = 0;
  #handed = 0;
  #taken = 0;
  #isScheduled = false;
  #isEnding = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that the system has not taken. */
  get queuedBytes(): number {
    return this.#written - this.#taken;
  }

  /** The memory of the parts must not change until {@link flushed} resolves. */
  write(parts: readonly Uint8Array[]): void {
    for (const batch of batchesOf(parts)) {
      this.#written += batch.byteLength;
      if (this.#queue.length === 0 && this.#mayHand) this.#hand(batch);
      else this.#queue.push(batch);
    }
  }

  flushed(): Promise<void> {
    if (this.queuedBytes === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.add({ until: this.#written, resolve, reject });
    });
  }

  /** Ends the socket when all that was written is with the system. */
  end(): void {
    this.#isEnding = true;
    if (this.#queue.length === 0) this.#socket.end();
  }

  /** The socket is closed: nothing is taken any more. */
  closed(reason: Error): void {
    this.#queue = [];
    this.#taken = this.#written;
    for (const waiter of this.#waiting) waiter.reject(reason);
    this.#waiting.clear();
  }

  get #mayHand(): boolean {
    return this.#handed - this.#taken < turnBytesMax;
  }

  #hand({ parts, byteLength }: Batch): void {
    this.#handed += byteLength;
    const last = parts.length - 1;
    this.#socket.cork();
    parts.forEach((part, index) => {
      // The system has all of them when it has the last one.
      if (index < last) this.#socket.write(part);
      else this.#socket.write(part, (error) => this.#onTaken(byteLength, error));
    });
    this.#socket.uncork();
  }

  #onTaken(byteLength: number, error: Error | null | undefined): void {
    // Those who wait hear of it when the socket is closed.
    if (error !== undefined && error !== null) return;
    this.#taken += byteLength;
    for (const waiter of this.#waiting) {
      if (waiter.until > this.#taken) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
    if (this.#queue.length === 0 || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#goOn());
  }

  /** Others had their turn: the next batches. */
  #goOn(): void {
    this.#isScheduled = false;
    if (this.#socket.destroyed) return;
    for (let next = this.#queue.at(0); next !== undefined; next = this.#queue.at(0)) {
      if (!this.#mayHand) return;
      this.#queue.shift();
      this.#hand(next);
    }
    if (this.#isEnding) this.#socket.end();
  }
}

/** The parts in batches that fill a turn each, longer parts cut. */
function batchesOf(parts: readonly Uint8Array[]): readonly Batch[] {
  const batches: Batch[] = [];
  let batch: Uint8Array[] = [];
  let byteLength = 0;
  const close = (): void => {
    if (batch.length > 0) batches.push({ parts: batch, byteLength });
    batch = [];
    byteLength = 0;
  };
  for (const part of parts) {
    for (let at = 0; at < part.length; at += turnBytesMax) {
      const piece = part.subarray(at, at + turnBytesMax);
      batch.push(piece);
      byteLength += piece.length;
      if (byteLength >= turnBytesMax) close();
    }
  }
  close();
  return batches;
}
