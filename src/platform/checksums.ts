import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { nativeCode } from './native.ts';
import type { NativeMode } from './native.ts';
import type { Host } from './platform.ts';
import { WorkerPool } from './worker-pool.ts';

/** Computes CRC32C of payloads, beside other work where that is worth it. */
export interface Checksums {
  /** The bytes must not change until the result is there. */
  of(bytes: Uint8Array): number | Promise<number>;
  /** Ends what it runs. What is asked for later is computed at once. */
  close(): Promise<void>;
}

/** On the caller's thread, at once. */
export const directChecksums: Checksums = { of: crc32c, close: () => Promise.resolve() };

/**
 * A thread where it gains something. Native code takes a fifth of the time for bytes that have just come
 * (docs/decisions/0046), which is less than a thread costs; and where there is one processor the thread
 * would take its time from others.
 */
export function checksumsFor(
  { processors }: Pick<Host, 'processors'>,
  mode: NativeMode,
): Checksums {
  const isNative = nativeCode(mode).code !== undefined;
  return isNative || processors === 1 ? directChecksums : new ThreadChecksums();
}

/** Shorter payloads cost less than a message to a thread and back, about 20 µs. */
const threadBytesMin = 128 * 1024;
/** Bytes after which a thread is worth its start, about 50 ms of a processor. */
const threadAfterBytes = 32 * 1024 * 1024;
/** Payloads that may wait for the thread; of more the checksum is computed at once. */
const waitingMax = 256;
/** Time for one order: far more than all payloads that wait can take. */
const orderMs = 60_000;

interface Waiting {
  readonly bytes: Uint8Array;
  readonly result: Deferred<number>;
}

/**
 * A thread for checksums of shared memory. A checksum takes a third of what receiving the bytes
 * takes, and on the thread that receives them it comes on top (docs/decisions/0046). Until some bytes
 * have come, while the thread starts, and when it fails, checksums are computed at once.
 */
export class ThreadChecksums implements Checksums {
  readonly #pool = new WorkerPool({
    module: new URL('./checksum-worker.js', import.meta.url),
    workersMax: 1,
    tasksMax: 1,
    taskMs: orderMs,
  });
  #state: 'unused' | 'starting' | 'ready' | 'busy' | 'off' = 'unused';
  #waiting: Waiting[] = [];
  #bytes = 0;

  of(bytes: Uint8Array): number | Promise<number> {
    if (bytes.length < threadBytesMin || !(bytes.buffer instanceof SharedArrayBuffer)) {
      return crc32c(bytes);
    }
    this.#bytes += bytes.length;
    if (this.#state === 'unused' && this.#bytes > threadAfterBytes) void this.#start();
    const isRunning = this.#state === 'ready' || this.#state === 'busy';
    if (!isRunning || this.#waiting.length >= waitingMax) return crc32c(bytes);
    const result = deferred<number>();
    this.#waiting.push({ bytes, result });
    if (this.#state === 'ready') void this.#work();
    return result.promise;
  }

  async close(): Promise<void> {
    this.#state = 'off';
    await this.#pool.close();
  }

  async #start(): Promise<void> {
    this.#state = 'starting';
    try {
      await this.#pool.run<readonly Uint8Array[], readonly number[]>([]);
      if (this.#state === 'starting') this.#state = 'ready';
    } catch {
      // Checksums are computed on the caller's thread from now on, as they were until now.
      this.#state = 'off';
    }
  }

  /** Orders what waits, all of it at once, until nothing waits any more. */
  async #work(): Promise<void> {
    this.#state = 'busy';
    while (this.#waiting.length > 0) {
      const order = this.#waiting.splice(0);
      try {
        const payloads = order.map(({ bytes }) => bytes);
        const sums = await this.#pool.run<readonly Uint8Array[], readonly number[]>(payloads);
        order.forEach(({ result }, index) => result.resolve(sums[index]));
      } catch {
        this.#state = 'off';
        for (const { bytes, result } of order) result.resolve(crc32c(bytes));
      }
    }
    // Closed or failed meanwhile: it stays so.
    if (this.#isBusy()) this.#state = 'ready';
  }

  #isBusy(): boolean {
    return this.#state === 'busy';
  }
}
