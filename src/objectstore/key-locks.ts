import { StoreError, systemErrorCode } from '../base/errors.ts';
import { deferred } from '../base/deferred.ts';
import type { Clock } from '../platform/clock.ts';
import type { FileStatus, Files } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import type { Random } from '../platform/random.ts';
import type { Call } from './call-gate.ts';
import { objectLimits } from './object-limits.ts';

export interface KeyLocksOptions {
  /** A lock file seen unchanged for so long has a dead owner. */
  readonly staleMs: number;
}

/** A lock that is held now. */
export interface HeldLock {
  /** Throws `UNAVAILABLE` when it was held so long that others may soon take it for dead. */
  check(): void;
}

/**
 * One holder per name among all processes that use the directory: a queue within the process, a
 * file made by exclusive create between processes.
 *
 * A waiter that sees the same lock file for `staleMs` of its own monotonic time removes it, guarded
 * by a second file, so that it never removes the lock of somebody who was faster. Whoever holds a
 * lock or a guard refuses to act after half of that time. So two never act at once, unless the system
 * stops one for longer than the other half between its last check and the file call that follows.
 *
 * A guard is of one lock file, which its name tells from all others of the same name, and has a
 * number. One seen unchanged for `staleMs` has a dead owner too; it is left where it is, and the next
 * number is taken, again by one waiter alone. When the lock is gone nothing is done under any of its
 * guards, so those that are left need only be cleared away.
 */
export class KeyLocks {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #directory: string;
  readonly #staleMs: number;
  /** The end of the last holder of each name in this process; bounded by the calls under way. */
  readonly #queues = new Map<string, Promise<void>>();

  /** The directory must exist whenever a lock is taken. */
  constructor(platform: Platform, directory: string, options: KeyLocksOptions) {
    this.#files = platform.files;
    this.#clock = platform.clock;
    this.#random = platform.random;
    this.#directory = directory;
    this.#staleMs = options.staleMs;
  }

  /** Runs the task while holding the lock. Gives up between steps when the call should end. */
  async hold<Result>(
    name: string,
    call: Call,
    task: (lock: HeldLock) => Promise<Result>,
  ): Promise<Result> {
    const previous = this.#queues.get(name);
    const turn = deferred<void>();
    this.#queues.set(name, turn.promise);
    try {
      await previous;
      return await this.#holdFile(`${this.#directory}/lock-${name}`, call, task);
    } finally {
      if (this.#queues.get(name) === turn.promise) this.#queues.delete(name);
      turn.resolve();
    }
  }

  /** True for the path of a lock that a dead owner may have left; its guards are mere files. */
  isLock(path: string): boolean {
    return path.startsWith(`${this.#directory}/lock-`) && !path.endsWith('-guard');
  }

  /** Removes the lock that had this status, unless somebody took it anew meanwhile. */
  async removeLeftOver(path: string, status: FileStatus): Promise<void> {
    await this.#takeAway(path, new Guards(path, tagOf(status)));
  }

  async #holdFile<Result>(
    path: string,
    call: Call,
    task: (lock: HeldLock) => Promise<Result>,
  ): Promise<Result> {
    const sinceMs = await this.#take(path, call);
    const isSafe = (): boolean => this.#clock.nowMs() - sinceMs < this.#staleMs / 2;
    try {
      return await task({
        check: () => {
          if (!isSafe()) throw new StoreError('UNAVAILABLE', `${path} was held for too long`);
        },
      });
    } finally {
      // A lock held for too long may be somebody else's by now: it is left to grow stale.
      if (isSafe()) await this.#files.remove(path);
    }
  }

  /** Resolves, once the lock file is ours, to a moment before it was made. */
  async #take(path: string, call: Call): Promise<number> {
    const beginMs = this.#clock.nowMs();
    let seen = { tag: absent, sinceMs: beginMs };
    let guards = new Guards(path, absent);
    for (;;) {
      call.check();
      const nowMs = this.#clock.nowMs();
      if (await this.#create(path)) return nowMs;
      if (nowMs - beginMs > objectLimits.lockWaitMs) {
        throw new StoreError(
          'UNAVAILABLE',
          `${path} was not free for ${objectLimits.lockWaitMs} ms`,
        );
      }
      const tag = tagOf(await this.#files.status(path));
      if (tag !== seen.tag) {
        seen = { tag, sinceMs: this.#clock.nowMs() };
        guards = new Guards(path, tag);
      } else if (tag === absent) continue;
      else if (nowMs - seen.sinceMs >= this.#staleMs) await this.#takeAway(path, guards);
      await this.#clock.sleep(1 + this.#random.fraction() * objectLimits.lockPollMs);
    }
  }

  async #create(path: string): Promise<boolean> {
    try {
      const file = await this.#files.open(path, 'create-new');
      await file.close();
      return true;
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') return false;
      throw error;
    }
  }

  /** Removes a dead owner's lock, unless it is another one by now, or another waiter is about to. */
  async #takeAway(path: string, guards: Guards): Promise<void> {
    const beginMs = this.#clock.nowMs();
    const guard = guards.path;
    if (!(await this.#create(guard))) {
      guards.note(tagOf(await this.#files.status(guard)), beginMs, this.#staleMs);
      return;
    }
    const isSame = tagOf(await this.#files.status(path)) === guards.tag;
    if (isSame) {
      // Held for longer, the guard may be taken for a dead one's: it is left to be cleared away.
      if (this.#clock.nowMs() - beginMs >= this.#staleMs / 2) return;
      await this.#files.remove(path);
    }
    for (const made of guards.paths) await this.#files.remove(made);
  }
}

/** What one waiter knows of the guards of one lock file. */
class Guards {
  /** The lock file that they guard. */
  readonly tag: string;
  readonly #lock: string;
  #number = 0;
  #seen = { tag: absent, sinceMs: 0 };

  constructor(lock: string, tag: string) {
    this.#lock = `${lock}-${tag.replaceAll(/[^0-9]+/g, '-')}`;
    this.tag = tag;
  }

  /** The first guard whose owner is not known to be dead. */
  get path(): string {
    return this.#pathOf(this.#number);
  }

  /** That one and those before it, the last one first: one that is there is never passed over. */
  get paths(): readonly string[] {
    return Array.from({ length: this.#number + 1 }, (_, i) => this.#pathOf(this.#number - i));
  }

  /** The guard was there at that moment. */
  note(tag: string, nowMs: number, staleMs: number): void {
    if (tag !== this.#seen.tag) this.#seen = { tag, sinceMs: nowMs };
    else if (tag !== absent && nowMs - this.#seen.sinceMs >= staleMs) {
      this.#number += 1;
      this.#seen = { tag: absent, sinceMs: nowMs };
    }
  }

  #pathOf(number: number): string {
    return `${this.#lock}-${number}-guard`;
  }
}

/** The tag of no lock. */
const absent = '';

/** Tells one lock file from another of the same name. */
function tagOf(status: FileStatus | undefined): string {
  return status === undefined ? absent : `${status.identity} ${status.modifiedMs}`;
}
