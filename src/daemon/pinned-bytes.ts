import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';

/**
 * Bytes that are pinned for answers on their way to one client. How many a load will pin is known
 * only when it has them, so the bound is asked before: while it is reached no further load begins.
 */
export class PinnedBytes {
  readonly #bytesMax: number;
  readonly #waiting = new Set<() => void>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get hasRoom(): boolean {
    return this.#bytes < this.#bytesMax;
  }

  /** Counts bytes until what it gives is called, once. */
  add(bytes: number): () => void {
    this.#bytes += bytes;
    let isHeld = true;
    return () => {
      assert(isHeld, 'bytes are given back once');
      isHeld = false;
      this.#bytes -= bytes;
      if (this.hasRoom) for (const wake of [...this.#waiting]) wake();
    };
  }

  /** Resolves when there is room; rejects with the signal's reason when it fires first. */
  async room(signal: AbortSignal): Promise<void> {
    while (!this.hasRoom) await this.#change(signal);
  }

  async #change(signal: AbortSignal): Promise<void> {
    const change = deferred<void>();
    const wake = (): void => change.resolve();
    const onAbort = (): void => change.reject(signal.reason);
    this.#waiting.add(wake);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await change.promise;
    } finally {
      this.#waiting.delete(wake);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
