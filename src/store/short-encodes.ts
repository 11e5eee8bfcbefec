import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Zstd } from '../format/zstd.ts';
import { encodeNow } from './encode-now.ts';
import type { EncodedPayload, EncodeTask } from './encode-now.ts';

/** What a worker makes of several short payloads. */
export interface EncodedTogether {
  /** In the order of the tasks. */
  readonly outcomes: readonly ShortOutcome[];
  /** What the outcomes speak of, one after another: one buffer moves cheaper than many. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

type ShortOutcome =
  | (Omit<EncodedPayload, 'stored'> & { readonly storedLength: number | undefined })
  | { readonly code: StoreErrorCode; readonly message: string };

interface Waiting {
  readonly task: EncodeTask;
  readonly outcome: Deferred<EncodedPayload>;
}

/** Who encodes. */
export interface ShortEncoders {
  /** In this thread, at once; undefined where that cannot be. */
  here(task: EncodeTask): EncodedPayload | undefined;
  /** Brings the tasks to {@link encodeTogether} in a worker. */
  inWorker(tasks: readonly EncodeTask[]): Promise<EncodedTogether>;
}

/**
 * Encodes short payloads together. To encode 4 KiB takes a worker 100 µs, and to tell it so takes
 * the main thread half of that or more. So one message is under way at a time, and those that wait
 * meanwhile go with the next. One alone is encoded here: to wake two threads takes longer.
 */
export class ShortEncodes {
  readonly #encoders: ShortEncoders;
  readonly #waiting: Waiting[] = [];
  #isUnderWay = false;

  constructor(encoders: ShortEncoders) {
    this.#encoders = encoders;
  }

  /** Rejects as `Transcoder.encode`. */
  encode(task: EncodeTask): Promise<EncodedPayload> {
    if (this.#waiting.length >= limits.workerTasksMax) {
      const message = `${limits.workerTasksMax} short payloads wait to be encoded already`;
      return Promise.reject(new StoreError('BUSY', message));
    }
    const outcome = deferred<EncodedPayload>();
    this.#waiting.push({ task, outcome });
    if (!this.#isUnderWay) void this.#sendWaiting();
    return outcome.promise;
  }

  async #sendWaiting(): Promise<void> {
    this.#isUnderWay = true;
    // Uploads that begin together come here one behind the other.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, limits.shortEncodesTogetherMax);
      try {
        const encoded = batch.length === 1 ? this.#encoders.here(batch[0].task) : undefined;
        if (encoded !== undefined) batch[0].outcome.resolve(encoded);
        else settle(batch, await this.#encoders.inWorker(batch.map(({ task }) => task)));
      } catch (error) {
        for (const { outcome } of batch) outcome.reject(error);
      }
    }
    this.#isUnderWay = false;
  }
}

/** The half that runs in a worker. What damages one payload is no matter of the others. */
export function encodeTogether(tasks: readonly EncodeTask[], zstd: () => Zstd): EncodedTogether {
  const stored: Uint8Array[] = [];
  const outcomes = tasks.map((task): ShortOutcome => {
    try {
      const { stored: own, ...outcome } = encodeNow(task, zstd);
      if (own !== undefined) stored.push(own);
      return { ...outcome, storedLength: own?.length };
    } catch (error) {
      const code = isStoreError(error) ? error.code : 'UNAVAILABLE';
      return { code, message: messageOf(error) };
    }
  });
  const bytes = new Uint8Array(stored.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const own of stored) {
    bytes.set(own, at);
    at += own.length;
  }
  return { outcomes, bytes };
}

function settle(batch: readonly Waiting[], { outcomes, bytes }: EncodedTogether): void {
  let at = 0;
  for (const [index, { outcome }] of batch.entries()) {
    const own = outcomes[index];
    if ('code' in own) {
      outcome.reject(new StoreError(own.code, own.message));
      continue;
    }
    const { storedLength, ...encoded } = own;
    const stored = storedLength === undefined ? undefined : bytes.subarray(at, at + storedLength);
    at += storedLength ?? 0;
    outcome.resolve({ ...encoded, stored });
  }
}
