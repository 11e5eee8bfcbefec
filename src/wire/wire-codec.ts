import { assert } from '../base/assert.ts';
import { BytePool } from '../base/byte-pool.ts';
import { Semaphore } from '../base/semaphore.ts';
import { limits } from '../blocks/limits.ts';
import { needMemory, processMemory } from '../platform/payload-memory.ts';
import { WorkerPool } from '../platform/worker-pool.ts';
import type { NativeMode } from '../platform/native.ts';
import type { CompressedForm } from '../protocol/read-messages.ts';
import type { EncodedForWire, WireTask } from './wire-tasks.ts';

/**
 * Compresses and decompresses payloads that travel between a client and a daemon, in worker threads of its own,
 * which start when they are first needed: what a bucket needs waits for no client, and the other way round.
 */
export class WireCodec {
  readonly #pool: WorkerPool;
  /** Enough tasks to keep the threads busy; the others wait here, as many as the calls have payloads. */
  readonly #turns = new Semaphore(2 * limits.workersMax);
  /** Memory in which threads see payloads that lie elsewhere. */
  readonly #copies = new BytePool(limits.wireAheadMax * limits.wireCompressBytesMax, (length) =>
    needMemory(processMemory, length),
  );
  #starting: Promise<boolean> | undefined;
  #isReady = false;
  #failures = 0;

  constructor(native: NativeMode) {
    const module = new URL('./wire-worker.js', import.meta.url);
    module.searchParams.set('native', native);
    const { workersMax, workerTasksMax: tasksMax, workerTaskMs: taskMs } = limits;
    this.#pool = new WorkerPool({ module, workersMax, tasksMax, taskMs });
  }

  /** True once a thread runs. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Payloads that could not be compressed and were sent as they are. */
  get failures(): number {
    return this.#failures;
  }

  /** Starts a thread; others follow when there is work for them. False where it cannot work: zstd is missing, say. */
  start(): Promise<boolean> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  async #start(): Promise<boolean> {
    try {
      await this.#pool.run<WireTask, undefined>({ kind: 'warm-up' });
      this.#isReady = true;
    } catch {
      // Payloads travel as they are then, as without compression.
      this.#failures += 1;
    }
    return this.#isReady;
  }

  /** True for a payload of that length: neither too short nor too long. */
  takes(length: number): boolean {
    return length >= limits.wireCompressBytesMin && length <= limits.wireCompressBytesMax;
  }

  /**
   * The payload compressed; undefined for one that goes as it is: too short, too long, or what was tried failed. Its
   * memory must stay as it is until then, or until nobody wants the result.
   */
  async encode(payload: Uint8Array): Promise<EncodedForWire | undefined> {
    if (!this.takes(payload.length)) return undefined;
    try {
      return await this.#turns.run(() => this.#encode(payload));
    } catch {
      this.#failures += 1;
      return undefined;
    }
  }

  async #encode(payload: Uint8Array): Promise<EncodedForWire> {
    if (payload.buffer instanceof SharedArrayBuffer) {
      return this.#pool.run<WireTask, EncodedForWire>({ kind: 'encode', payload });
    }
    const copy = this.#copies.take(payload.length);
    try {
      copy.set(payload);
      return await this.#pool.run<WireTask, EncodedForWire>({ kind: 'encode', payload: copy });
    } finally {
      // Whatever the outcome, the thread does not touch it any more.
      this.#copies.give(copy);
    }
  }

  /**
   * Writes the payload into `target`, all of it and nothing else, and gives its CRC32C. Both lie in shared memory,
   * which is the thread's until the promise settles.
   *
   * @throws StoreError `CORRUPT` when these bytes do not make a payload of that length.
   */
  decode(stored: Uint8Array, form: CompressedForm, target: Uint8Array): Promise<number> {
    const isShared = [stored, target].every(({ buffer }) => buffer instanceof SharedArrayBuffer);
    assert(isShared && stored.length === form.length, 'compressed bytes in shared memory');
    const { filter } = form;
    return this.#turns.run(() =>
      this.#pool.run<WireTask, number>({ kind: 'decode', stored, filter, target }),
    );
  }

  async close(): Promise<void> {
    this.#isReady = false;
    await this.#pool.close();
    this.#copies.clear();
  }
}
