import { assert } from './assert.ts';

interface Waiter {
  readonly bytes: number;
  readonly admit: () => void;
}

/**
 * Hands out bytes up to a bound; who asks for more than is free waits, in order of arrival. One that
 * alone exceeds the bound is let in when nothing else is out.
 */
export class ByteBudget {
  readonly #bytesMax: number;
  readonly #waiting: Waiter[] = [];
  #taken = 0;

  constructor(bytesMax: number) {
    assert(bytesMax > 0, `budget of ${bytesMax} bytes`);
    this.#bytesMax = bytesMax;
  }

  /** Bytes handed out now. */
  get taken(): number {
    return this.#taken;
  }

  /** Takes the bytes if nobody has to wait for them. */
  tryTake(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#hasRoom(bytes)) return false;
    this.#taken += bytes;
    return true;
  }

  /** Resolves when the bytes are the caller's; rejects with the signal's reason when it fires first. */
  take(bytes: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(reasonOf(signal));
    if (this.tryTake(bytes)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(reasonOf(signal));
        this.#admit();
      };
      const admit = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiter = { bytes, admit };
      this.#waiting.push(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Gives bytes back. */
  give(bytes: number): void {
    this.#taken -= bytes;
    assert(this.#taken >= 0, 'no more bytes come back than were handed out');
    this.#admit();
  }

  #admit(): void {
    for (let next = this.#waiting.at(0); next !== undefined; next = this.#waiting.at(0)) {
      if (!this.#hasRoom(next.bytes)) return;
      this.#waiting.shift();
      this.#taken += next.bytes;
      next.admit();
    }
  }

  #hasRoom(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= this.#bytesMax;
  }
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error(String(reason));
}
