import { StoreError, systemErrorCode } from '../base/errors.ts';
import type { FileStatus, Files, OpenFile } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from './call-gate.ts';
import { objectLimits } from './object-limits.ts';

/** A file without a name among the objects yet. */
export interface TemporaryFile {
  readonly path: string;
  readonly file: OpenFile;
}

/** A file of a writer that died. */
export interface LeftOver {
  readonly path: string;
  readonly status: FileStatus;
}

/**
 * The directory tree of a directory store: its root, the area for temporary files in it, and the
 * life of the directories between. Errors are those of the system.
 *
 * The area `.tmp` is the mark of a living root. A root that was seen with it and shows no mark any
 * more was unmounted or removed: that is `UNAVAILABLE`, not a bucket without objects, and it is not
 * made anew. A root never seen is a bucket without objects; the first put makes it.
 */
export class StoreDirectory {
  readonly root: string;
  readonly temporaryArea: string;
  readonly #platform: Platform;
  readonly #files: Files;
  /** Directories whose names, and those of all above up to the root, are durable. */
  readonly #durable = new Set<string>();
  #wasSeen = false;
  #removalFailures = 0;

  constructor(platform: Platform, root: string) {
    this.#platform = platform;
    this.#files = platform.files;
    this.root = root;
    this.temporaryArea = `${root}/.tmp`;
  }

  /** Temporary files that could not be removed; a later opening tries again. */
  get removalFailures(): number {
    return this.#removalFailures;
  }

  /** Opens a new temporary file, making the root when it was never there. */
  async createTemporary(): Promise<TemporaryFile> {
    const path = `${this.temporaryArea}/put-${this.#platform.random.hex(16)}`;
    try {
      const file = await this.#files.open(path, 'create-new');
      this.#wasSeen = true;
      return { path, file };
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
    await this.prepare();
    return { path, file: await this.#files.open(path, 'create-new') };
  }

  /** Makes root and temporary area durable where they are missing. */
  async prepare(): Promise<void> {
    if (await this.#isMarked()) return;
    if (this.#wasSeen) throw this.#gone();
    const missing = [this.temporaryArea];
    for (let path = this.root; !(await this.#isDirectory(path)); path = parentOf(path)) {
      missing.push(path);
    }
    await this.#files.makeDirectory(this.temporaryArea);
    for (const path of missing) await this.#files.syncDirectory(parentOf(path));
    this.#wasSeen = true;
  }

  /** Called before a miss is told: throws when the objects are not absent but out of reach. */
  async checkPresence(): Promise<void> {
    if (await this.#isMarked()) return;
    if (this.#wasSeen) throw this.#gone();
    const status = await this.#files.status(this.root);
    if (status?.kind === 'file') {
      throw new StoreError('UNAVAILABLE', `${this.root} is a file, not a directory`);
    }
  }

  /**
   * Gives a file its name at `path` by the step, link or rename, making directories that are
   * missing. Deletes elsewhere may remove them again meanwhile, hence the loop.
   */
  async publish(temporary: string, path: string, step: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await step();
        return;
      } catch (error) {
        if (systemErrorCode(error) !== 'ENOENT') throw error;
        if (attempt === objectLimits.publishAttemptsMax) throw error;
        if ((await this.#files.status(temporary)) === undefined) throw error;
      }
      await this.#makeDirectory(parentOf(path));
    }
  }

  /** Makes the name of the file durable, and those of the directories above it. */
  async syncName(path: string): Promise<void> {
    const made: string[] = [];
    await this.#sync(parentOf(path));
    for (let at = parentOf(path); !this.#durable.has(at); at = parentOf(at)) {
      made.push(at);
      await this.#sync(parentOf(at));
      if (at === this.root) break;
    }
    if (this.#durable.size + made.length > objectLimits.durableDirectoriesMax)
      this.#durable.clear();
    for (const at of made) this.#durable.add(at);
  }

  /** Removes the file and makes that durable, then the directories that it leaves empty. */
  async removeName(path: string): Promise<void> {
    await this.#files.remove(path);
    let directory = parentOf(path);
    await this.#sync(directory);
    while (directory !== this.root && (await this.#files.removeDirectory(directory))) {
      this.#durable.delete(directory);
      directory = parentOf(directory);
    }
  }

  /** Removes a temporary file; a failure is counted, for the object itself is not concerned. */
  async discard(path: string): Promise<void> {
    try {
      await this.#files.remove(path);
    } catch {
      this.#removalFailures += 1;
    }
  }

  /** Locks and temporary files that dead writers left, at most `leftOversMax` of them. */
  async leftOvers(call: Call): Promise<readonly LeftOver[]> {
    const leftOvers: LeftOver[] = [];
    for (const { name } of await this.#files.list(this.temporaryArea)) {
      call.check();
      if (leftOvers.length === objectLimits.leftOversMax) break;
      const path = `${this.temporaryArea}/${name}`;
      const status = await this.#files.status(path);
      if (status?.kind !== 'file') continue;
      const ageMs = this.#platform.clock.wallMs() - status.modifiedMs;
      if (ageMs > objectLimits.leftOverMs) leftOvers.push({ path, status });
    }
    return leftOvers;
  }

  async #isMarked(): Promise<boolean> {
    const status = await this.#files.status(this.temporaryArea);
    if (status?.kind !== 'directory') return false;
    this.#wasSeen = true;
    return true;
  }

  /** True for a directory, also through symbolic links: `/.` makes the system follow them. */
  async #isDirectory(path: string): Promise<boolean> {
    return (await this.#files.status(`${path}/.`))?.kind === 'directory';
  }

  async #makeDirectory(path: string): Promise<void> {
    try {
      await this.#files.makeDirectory(path);
    } catch (error) {
      // A delete removed one of the directories on the way; the caller tries again.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }

  async #sync(directory: string): Promise<void> {
    try {
      await this.#files.syncDirectory(directory);
    } catch (error) {
      // Removed since, with all that was in it: nothing is left to make durable.
      if (systemErrorCode(error) === 'ENOENT') return;
      // Where the root lies may be closed to us; whoever made the root there made it durable.
      if (systemErrorCode(error) === 'EACCES' && directory === parentOf(this.root)) return;
      throw error;
    }
  }

  #gone(): StoreError {
    return new StoreError('UNAVAILABLE', `${this.root} is gone, or lost its ${this.temporaryArea}`);
  }
}

function parentOf(path: string): string {
  const end = path.lastIndexOf('/');
  return end <= 0 ? '/' : path.slice(0, end);
}
