import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';

/**
 * Room for the bodies of requests: so many bytes at once. Who finds none waits in order of arrival,
 * for a stated time; connections bound how many do.
 */
export class HttpAdmission {
  readonly #clock: Clock;
  readonly #bytesMax: number;
  readonly #waitMs: number;
  readonly #describe: (bytes: number) => string;
  readonly #waiting: { readonly bytes: number; readonly admit: () => void }[] = [];
  #bytes = 0;

  /** `describe` names what is in, for the message of `BUSY`. */
  constructor(
    clock: Clock,
    options: {
      readonly bytesMax: number;
      readonly waitMs: number;
      readonly describe?: (bytes: number) => string;
    },
  ) {
    this.#clock = clock;
    this.#describe = options.describe ?? ((bytes) => `bodies of ${bytes} bytes`);
    this.#bytesMax = options.bytesMax;
    this.#waitMs = options.waitMs;
  }

  /** Bytes that are in, and how many requests wait. */
  get bytes(): number {
    return this.#bytes;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes the room, or nothing when there is none at once. */
  tryEnter(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Takes the room when there is some. Rejects with `BUSY` after the wait. */
  async enter(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.tryEnter(bytes)) return;
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        const index = this.#waiting.indexOf(entry);
        if (index >= 0) this.#waiting.splice(index, 1);
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(new StoreError('ABORTED', 'the client left while its body waited for room'));
      };
      const entry = {
        bytes,
        admit: () => {
          leave();
          this.#bytes += bytes;
          resolve();
        },
      };
      const timer = this.#clock.schedule(this.#waitMs, () => {
        leave();
        const held = `${this.#describe(this.#bytes)} are under way`;
        reject(new StoreError('BUSY', `${held}; at most ${this.#bytesMax} are taken at once`));
        this.#admitNext();
      });
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(entry);
    });
  }

  /** Gives back what was entered with. */
  leave(bytes: number): void {
    this.#bytes -= bytes;
    this.#admitNext();
  }

  #admitNext(): void {
    while (this.#waiting.length > 0 && this.#fits(this.#waiting[0].bytes)) {
      this.#waiting[0].admit();
    }
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }
}
