import { systemErrorCode } from '../base/errors.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { Files, OpenFile } from '../platform/files.ts';
import { objectLimits } from './object-limits.ts';

interface RetainedFile {
  readonly file: OpenFile;
  readonly release: ScheduledCall;
}

/**
 * Keeps files that are about to lose their last name open for a moment. An open file keeps its
 * inode number, so a file made in the same tick of the file system's clock cannot get the number
 * and the time of the one that it replaces, and with them its etag. Holds at most `retainedMax`
 * files; beyond that the oldest is let go early.
 */
export class RetainedFiles {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #retained = new Set<RetainedFile>();
  readonly #closing = new Set<Promise<void>>();

  constructor(files: Files, clock: Clock) {
    this.#files = files;
    this.#clock = clock;
  }

  /** Keeps the file at the path, if there is one. */
  async retain(path: string): Promise<void> {
    const file = await this.#open(path);
    if (file === undefined) return;
    const retained: RetainedFile = {
      file,
      release: this.#clock.schedule(objectLimits.retainedMs, () => this.#release(retained)),
    };
    this.#retained.add(retained);
    if (this.#retained.size <= objectLimits.retainedMax) return;
    const [oldest] = this.#retained;
    if (oldest !== undefined) this.#release(oldest);
  }

  /** Lets all go. */
  async close(): Promise<void> {
    for (const retained of this.#retained) this.#release(retained);
    await Promise.all(this.#closing);
  }

  async #open(path: string): Promise<OpenFile | undefined> {
    try {
      return await this.#files.open(path, 'read');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  #release(retained: RetainedFile): void {
    if (!this.#retained.delete(retained)) return;
    retained.release.cancel();
    const done = (): void => void this.#closing.delete(closing);
    // Closing a file that was only read loses nothing when it fails.
    const closing = retained.file.close().then(done, done);
    this.#closing.add(closing);
  }
}
