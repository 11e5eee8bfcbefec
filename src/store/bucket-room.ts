import { assert } from '../base/assert.ts';
import type { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';

/** Who is about to write to the bucket asks here first. */
export interface BucketRoom {
  /**
   * Resolves when so many bytes may be written: at once while there is room, else when something was
   * removed. Rejects with the signal's reason, or with `UNAVAILABLE` when no room can be made now.
   */
  reserve(byteLength: number, signal: AbortSignal): Promise<ReservedRoom>;
}

/** Room for one write, whose owner gives it back when that has ended. */
export interface ReservedRoom {
  /** Gives it back when the write has ended, whatever became of it, and passes its result on. */
  during<Result>(write: Promise<Result>): Promise<Result>;
}

export interface BoundedRoomParts {
  /** Bytes that may be written now, what is being written included. Changes. */
  readonly bytesMax: () => number;
  /** Somebody waits for room. */
  readonly onFull: () => void;
  /** A write failed, after which its bytes may be in the bucket, or come there later. */
  readonly onDoubt: (byteLength: number) => void;
}

interface Waiter {
  readonly byteLength: number;
  readonly admit: () => void;
  readonly refuse: (error: StoreError) => void;
}

/**
 * Room in a bucket that has a budget: bytes that are being written count like those that are there,
 * so that the bound holds however many writes are under way. Served in order of arrival.
 */
export class BoundedRoom implements BucketRoom {
  readonly #parts: BoundedRoomParts;
  readonly #waiting: Waiter[] = [];
  #reservedBytes = 0;

  constructor(parts: BoundedRoomParts) {
    this.#parts = parts;
  }

  /** Bytes that the one who waits longest asks for; 0 when nobody waits. */
  get wantedBytes(): number {
    return this.#waiting.at(0)?.byteLength ?? 0;
  }

  /** Bytes that are being written. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  async reserve(byteLength: number, signal: AbortSignal): Promise<ReservedRoom> {
    signal.throwIfAborted();
    if (this.#waiting.length > 0 || !this.#fits(byteLength)) await this.#wait(byteLength, signal);
    else this.#reservedBytes += byteLength;
    return { during: (write) => this.#during(write, byteLength) };
  }

  /** There may be room now. */
  admit(): void {
    for (let next = this.#waiting.at(0); next !== undefined; next = this.#waiting.at(0)) {
      if (!this.#fits(next.byteLength)) return;
      this.#waiting.shift();
      this.#reservedBytes += next.byteLength;
      next.admit();
    }
  }

  /** No room can be made now: who waits is told so. */
  refuse(error: StoreError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.refuse(error);
  }

  async #during<Result>(write: Promise<Result>, byteLength: number): Promise<Result> {
    try {
      return await write;
    } catch (error) {
      this.#parts.onDoubt(byteLength);
      throw error;
    } finally {
      this.#reservedBytes -= byteLength;
      assert(this.#reservedBytes >= 0, 'no more comes back than was reserved');
      this.admit();
    }
  }

  #wait(byteLength: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settled = (): void => signal.removeEventListener('abort', onAbort);
      const waiter: Waiter = {
        byteLength,
        admit: () => {
          settled();
          resolve();
        },
        refuse: (error) => {
          settled();
          reject(error);
        },
      };
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(waiter);
        assert(at >= 0, 'who is not served waits');
        this.#waiting.splice(at, 1);
        reject(signal.reason);
        this.admit();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
      this.#parts.onFull();
    });
  }

  #fits(byteLength: number): boolean {
    return this.#reservedBytes + byteLength <= this.#parts.bytesMax();
  }
}

/** The most bytes that a payload takes in the bucket: what compression does not shorten stays raw. */
export function storedBytesMax(payloadBytes: number): number {
  return payloadBytes + limits.frameHeaderBytesMax;
}
