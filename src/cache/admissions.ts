import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { CacheEntry } from './cache-entry.ts';
import type { DiskTier } from './disk-tier.ts';
import type { Extent } from './extent.ts';

/**
 * Most bytes of fetched payloads that wait to be written to disk; more are kept in memory only. Holds a long prompt
 * of a large model, 40 blocks of 4 MiB, that comes faster than a disk writes.
 */
const admissionBytesMax = 256 * 1024 * 1024;
/** So much that waits is written without a rest. */
const admissionBytesEager = 64 * 1024 * 1024;
/**
 * Rest before fetched payloads are written: whoever fetched them is busy with them now, and a copy
 * on disk is of use only much later.
 */
const admissionDelayMs = 500;

export interface AdmissionsParts {
  readonly disk: DiskTier;
  readonly clock: Clock;
  /** The entry is on disk by now, or will not come to be. */
  readonly onEnd: (entry: CacheEntry) => void;
}

/** A fetched payload that waits to be written to disk, pinned. */
interface Admission {
  readonly entry: CacheEntry;
  readonly extent: Extent;
  readonly payload: Uint8Array;
}

/** Fetched payloads on their way to disk: written one after another, beside everything else. */
export class Admissions {
  readonly #parts: AdmissionsParts;
  readonly #waiting: Admission[] = [];
  #bytes = 0;
  #timer: ScheduledCall | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(parts: AdmissionsParts) {
    this.#parts = parts;
  }

  /** Plans to write the payload; false when that is not going to happen. */
  add(entry: CacheEntry, extent: Extent, payload: Uint8Array): boolean {
    if (this.#isClosed || this.#bytes + payload.length > admissionBytesMax) return false;
    this.#bytes += payload.length;
    extent.pin();
    this.#waiting.push({ entry, extent, payload });
    this.#timer ??= this.#parts.clock.schedule(admissionDelayMs, () => this.#write());
    // A long prompt brings more than may wait: what rests makes room for what comes.
    if (this.#bytes > admissionBytesEager) this.#write();
    return true;
  }

  /** Notes on disk that the entry is not what the object store has any more. */
  noteReplaced(entry: CacheEntry): void {
    if (this.#isClosed) return;
    this.#writing = this.#writing.then(() => this.#parts.disk.noteRemoved(entry));
  }

  /** Writes what waits; nothing is added any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#write();
    await this.#writing;
  }

  #write(): void {
    const { disk, onEnd } = this.#parts;
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const { entry, extent, payload } of this.#waiting.splice(0)) {
      this.#writing = this.#writing.then(async () => {
        await disk.writeDurable(entry, payload);
        this.#bytes -= payload.length;
        extent.unpin();
        onEnd(entry);
      });
    }
  }
}
