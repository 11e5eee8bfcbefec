import { StoreError, systemErrorCode } from '../base/errors.ts';
import type { FileStatus, Files } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import type { Call } from './call-gate.ts';
import { objectLimits } from './object-limits.ts';

/** Directories to sync, in this order. */
export interface Unsynced {
  readonly directories: readonly string[];
  /** Removals of directories that had ended when this was known. */
  readonly removalsEnded: number;
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
  /** Removals of directories by deletes of this process. */
  #removalsBegun = 0;
  #removalsEnded = 0;
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

  /** The path of a temporary file that nobody else makes. */
  newTemporaryPath(): string {
    return `${this.temporaryArea}/put-${this.#platform.random.hex(16)}`;
  }

  /** A file was made in the root: from now on it is gone when it shows no mark. */
  noteSeen(): void {
    this.#wasSeen = true;
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
      await this.makeDirectoryFor(path);
    }
  }

  /** Makes the directory of the file, unless a delete removes one on the way at that moment. */
  async makeDirectoryFor(path: string): Promise<void> {
    await this.#makeDirectory(parentOf(path));
    // What was known of directories with these names is of others, which somebody removed.
    for (let at = parentOf(path); at !== this.root; at = parentOf(at)) this.#durable.delete(at);
  }

  /** Makes the name of the file durable, and those of the directories above it. */
  async syncName(path: string): Promise<void> {
    const { directories } = this.unsyncedFor(path);
    for (const directory of directories) await this.#sync(directory);
    this.#addDurable(directories);
  }

  /** What to sync for the name of the file to be durable. */
  unsyncedFor(path: string): Unsynced {
    const directories = [parentOf(path)];
    for (let at = parentOf(path); !this.#durable.has(at); at = parentOf(at)) {
      directories.push(parentOf(at));
      if (at === this.root) break;
    }
    return { directories, removalsEnded: this.#removalsEnded };
  }

  /**
   * A file was made in the root and named, and the directories were synced. False when that may not
   * have been enough: a delete may have removed one of them meanwhile, and a put made it anew.
   */
  noteSynced({ directories, removalsEnded }: Unsynced): boolean {
    this.noteSeen();
    if (this.#removalsBegun !== removalsEnded) return false;
    this.#addDurable(directories);
    return true;
  }

  /** Removes the file and makes that durable, then the directories that it leaves empty. */
  async removeName(path: string): Promise<void> {
    await this.#files.remove(path);
    const directory = parentOf(path);
    await this.#sync(directory);
    this.#removalsBegun += 1;
    try {
      await this.#removeEmpty(directory);
    } finally {
      this.#removalsEnded += 1;
    }
  }

  async #removeEmpty(first: string): Promise<void> {
    for (let directory = first; directory !== this.root; directory = parentOf(directory)) {
      // Before, and again for a put that came in between and went.
      this.#durable.delete(directory);
      if (!(await this.#files.removeDirectory(directory))) return;
      this.#durable.delete(directory);
    }
  }

  /** Each directory but the first is the parent of the one before, and holds its name. */
  #addDurable(directories: readonly string[]): void {
    const durable = directories.slice(0, -1);
    if (this.#durable.size + durable.length > objectLimits.durableDirectoriesMax)
      this.#durable.clear();
    for (const directory of durable) this.#durable.add(directory);
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

  /** The object's file; undefined, when the bucket can be reached and has no such object. */
  async statusOf(path: string): Promise<FileStatus | undefined> {
    const status = await this.#files.status(path);
    if (status === undefined) {
      await this.checkPresence();
      return undefined;
    }
    if (status.kind === 'file') return status;
    throw new StoreError('UNAVAILABLE', `${path} is not a file of this store`);
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
