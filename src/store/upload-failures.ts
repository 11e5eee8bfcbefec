import { deferred } from '../base/deferred.ts';
import type { StoreError } from '../base/errors.ts';

/** Someone who waits and wants to hear of failures of attempts begun since. */
interface FailureListener {
  readonly firstAttempt: number;
  readonly onFailure: (error: StoreError) => void;
}

/** Tells those who wait for uploads when an attempt fails that began after them. */
export class UploadFailures {
  readonly #listeners = new Set<FailureListener>();
  /** Attempts begun so far; numbers them. */
  #attempts = 0;

  /** An attempt begins; gives its number. */
  begin(): number {
    this.#attempts += 1;
    return this.#attempts;
  }

  /** The attempt of that number failed. */
  tell(number: number, failure: StoreError): void {
    for (const { firstAttempt, onFailure } of this.#listeners) {
      if (number >= firstAttempt) onFailure(failure);
    }
  }

  /** Settles as the uploads do, or rejects with the first failure of an attempt that begins from now on. */
  async orFailure(uploads: Promise<unknown>): Promise<void> {
    const failure = deferred<never>();
    failure.promise.catch(() => undefined);
    const listener: FailureListener = {
      firstAttempt: this.#attempts + 1,
      onFailure: (error) => failure.reject(error),
    };
    this.#listeners.add(listener);
    try {
      await Promise.race([uploads, failure.promise]);
    } finally {
      this.#listeners.delete(listener);
    }
  }
}
