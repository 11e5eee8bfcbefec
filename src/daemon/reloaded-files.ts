import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { Files } from '../platform/files.ts';

interface Watched {
  /** For messages. */
  readonly what: string;
  readonly paths: readonly string[];
  /** Reads the files and puts what they say into effect, or throws and changes nothing. */
  readonly load: () => Promise<void>;
  /** What the files were when they were last read. */
  seen: string;
}

/**
 * Files whose contents can change while the daemon runs: tokens, certificates. They are looked at
 * every second, and at once when {@link reload} is called. A file that is wrong or gone leaves what
 * was read before in effect, with an event that says what is wrong.
 */
export class ReloadedFiles {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #watched: Watched[] = [];
  #timer: ScheduledCall | undefined;
  /** The last load or look: they come one after the other, so that what was read last holds. */
  #last: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(platform: { readonly files: Files; readonly clock: Clock }, logger: Logger) {
    this.#files = platform.files;
    this.#clock = platform.clock;
    this.#logger = logger;
  }

  /** Loads the files, and again whenever one of them changes. Rejects when the first load does. */
  async add(what: string, paths: readonly string[], load: () => Promise<void>): Promise<void> {
    // Looked at before they are read: what changes in between is seen at the next look.
    const seen = await this.#look(paths);
    await load();
    this.#watched.push({ what, paths, load, seen });
    this.#timer ??= this.#lookLater();
  }

  /** Loads all files now, changed or not. */
  reload(): Promise<void> {
    return this.#inTurn(() => true);
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #lookLater(): ScheduledCall {
    return this.#clock.schedule(limits.reloadLookMs, () => {
      void this.#inTurn(({ seen }, now) => seen !== now).finally(() => {
        if (!this.#isStopped) this.#timer = this.#lookLater();
      });
    });
  }

  #inTurn(isWanted: (watched: Watched, now: string) => boolean): Promise<void> {
    this.#last = this.#last.then(() => this.#loadWhere(isWanted));
    return this.#last;
  }

  async #loadWhere(isWanted: (watched: Watched, now: string) => boolean): Promise<void> {
    for (const watched of this.#watched) {
      const now = await this.#look(watched.paths);
      if (this.#isStopped || !isWanted(watched, now)) continue;
      // What is wrong is told once, and tried again when it changes.
      watched.seen = now;
      try {
        await watched.load();
        this.#logger.info('reloaded', { what: watched.what });
      } catch (error) {
        const why = messageOf(error);
        this.#logger.error('not reloaded', { what: watched.what, why });
      }
    }
  }

  async #look(paths: readonly string[]): Promise<string> {
    const states = await Promise.all(paths.map((path) => this.#stateOf(path)));
    return states.join(' ');
  }

  async #stateOf(path: string): Promise<string> {
    try {
      const status = await this.#files.status(path);
      if (status === undefined) return 'absent';
      return `${status.identity} ${status.byteLength} ${status.modifiedMs} ${status.changedMs}`;
    } catch (error) {
      // Its directory may not be entered, say; reading it will tell.
      return messageOf(error);
    }
  }
}
