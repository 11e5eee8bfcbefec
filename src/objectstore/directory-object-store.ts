import { assert } from '../base/assert.ts';
import { StoreError, systemErrorCode } from '../base/errors.ts';
import { mapBounded } from '../base/map-bounded.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { FileStatus, OpenFile } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import {
  cutRange,
  memoryForBody,
  requireKey,
  requireListArguments,
  unchangedBody,
  requireGetOptions,
} from './call-arguments.ts';
import { CallGate } from './call-gate.ts';
import type { Call } from './call-gate.ts';
import { onFiles } from './file-failure.ts';
import { fileUrlOf } from './file-url.ts';
import { KeyLocks } from './key-locks.ts';
import { pathOfKey } from './key-path.ts';
import { walkKeys } from './key-walk.ts';
import type { WalkedKey } from './key-walk.ts';
import { etagOf } from './file-etag.ts';
import { objectLimits } from './object-limits.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectBody,
  ObjectCallOptions,
  ObjectInfo,
  ObjectKey,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutResult,
} from './object-store.ts';
import { lockNameOf, ObjectWriter } from './object-writer.ts';
import { RetainedFiles } from './retained-files.ts';
import { StoreDirectory } from './store-directory.ts';

export interface DirectoryObjectStoreOptions {
  /** A lock seen unchanged for so many milliseconds has a dead owner. 5000 by default. */
  readonly lockStaleMs?: number | undefined;
}

/** A file that holds an object, and what it was when it was opened. */
interface OpenObject {
  readonly file: OpenFile;
  readonly status: FileStatus;
}

/**
 * A bucket in a directory: one file per object, named as `key-path.ts` draws it. Any number of
 * processes may use it at once.
 *
 * - A put writes a temporary file, syncs it, gives it its name (if-absent by `link`, which fails
 *   where the name is taken; otherwise by `rename`) and syncs the directories. So an object is
 *   whole or absent at any moment, also after a crash, and durable when put has resolved, with
 *   `present` too. What a get shows before that may still be lost with the machine's power.
 * - Puts that may replace, and deletes, take turns by a lock per key (`key-locks.ts` says what
 *   holds); this makes if-match atomic. Reads and if-absent take no lock.
 * - The etag is made of inode, length and modification time. Bytes of a named file never change,
 *   every put makes a new inode, and `retained-files.ts` keeps a number from coming back in the
 *   same tick of the clock. Restoring a backup changes etags, which if-match takes for a change.
 * - A signal ends a call at once; its file work stops at the next step and cleans up. Only a read
 *   into the caller's memory is awaited, at most `readChunkBytes`.
 */
export class DirectoryObjectStore implements ObjectStore {
  readonly url: string;
  readonly #platform: Platform;
  readonly #directory: StoreDirectory;
  readonly #locks: KeyLocks;
  readonly #retained: RetainedFiles;
  readonly #writer: ObjectWriter;
  readonly #gate: CallGate;
  /** Gets under way; their callers bound how many wait. */
  readonly #reading = new Semaphore(objectLimits.directoryReadsMax);

  /** The root is an absolute path without a `/` at its end; it need not exist. */
  constructor(platform: Platform, root: string, options: DirectoryObjectStoreOptions = {}) {
    assert(root.startsWith('/') && !root.endsWith('/'), `root ${root} is not absolute`);
    this.url = fileUrlOf(root);
    this.#platform = platform;
    this.#directory = new StoreDirectory(platform, root);
    this.#locks = new KeyLocks(platform, this.#directory.temporaryArea, {
      staleMs: options.lockStaleMs ?? objectLimits.lockStaleMs,
    });
    this.#retained = new RetainedFiles(platform.files, platform.clock);
    this.#writer = new ObjectWriter({
      files: platform.files,
      directory: this.#directory,
      locks: this.#locks,
      retained: this.#retained,
    });
    this.#gate = new CallGate(this.url);
  }

  /** Temporary files that could not be removed. They take room but are never listed. */
  get removalFailures(): number {
    return this.#directory.removalFailures;
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    return this.#run('put', key, options, async (call, path) => {
      const order = { key, path, parts, condition: options.condition };
      return this.#writer.put(order, call);
    });
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    const what = `get of ${key}`;
    return this.#gate.run(what, options.signal, async (call) => {
      requireKey(key);
      requireGetOptions(options);
      return this.#reading.run(() => this.#getNow(key, options, call));
    });
  }

  async #getNow(key: ObjectKey, options: GetOptions, call: Call): Promise<ObjectBody | undefined> {
    call.check();
    const what = `get of ${key}`;
    const object = await onFiles(what, () => this.#open(this.#pathOf(key), call));
    if (object === undefined) return undefined;
    const { file, status } = object;
    try {
      const etag = etagOf(status);
      if (etag !== undefined && etag === options.unlessEtag) return unchangedBody(key, etag);
      const range = cutRange(options.range, status.byteLength);
      const bytes = await call.hold(async () => {
        const memory = memoryForBody(options, range.length);
        await onFiles(what, () => readInto(memory, file, range.offset, call));
        return memory;
      });
      return { info: infoOf(key, status), bytes };
    } finally {
      await onFiles(what, () => file.close());
    }
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#run('head', key, options, async (_, path) => {
      const status = await this.#directory.statusOf(path);
      return status === undefined ? undefined : infoOf(key, status);
    });
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    const what = `list of ${prefix}`;
    return this.#gate.run(what, options.signal, async (call) => {
      const limit = requireListArguments(prefix, options);
      const range = { prefix, startAfter: options.startAfter ?? '' };
      return onFiles(what, async () => {
        const walk = walkKeys(this.#platform.files, this.#directory.root, range);
        const objects: ObjectInfo[] = [];
        // One more than the page has tells whether something follows.
        while (objects.length <= limit) {
          call.check();
          const found = await take(walk, limit + 1 - objects.length, call);
          if (found.length === 0) break;
          objects.push(...(await this.#infosOf(found, call)));
        }
        if (objects.length === 0) await this.#directory.checkPresence();
        return { objects: objects.slice(0, limit), isTruncated: objects.length > limit };
      });
    });
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#run('delete', key, options, async (call, path) => {
      const status = await this.#directory.statusOf(path);
      if (status === undefined) return;
      await this.#directory.prepare();
      await this.#locks.hold(lockNameOf(key), call, async (lock) => {
        await this.#retained.retain(path);
        call.check();
        lock.check();
        await this.#directory.removeName(path);
      });
    });
  }

  /**
   * Removes temporary files of writers that died at least an hour ago. Their owner calls it once,
   * in the background; it ends early when the store is closed.
   */
  removeLeftOvers(): Promise<void> {
    const what = 'removal of left-over files';
    return this.#gate.run(what, undefined, (call) =>
      onFiles(what, async () => {
        for (const { path, status } of await this.#directory.leftOvers(call)) {
          call.check();
          if (this.#locks.isLock(path)) await this.#locks.removeLeftOver(path, status);
          else await this.#directory.discard(path);
        }
      }),
    );
  }

  async close(): Promise<void> {
    await this.#gate.close();
    await this.#retained.close();
  }

  #run<Result>(
    verb: string,
    key: ObjectKey,
    options: ObjectCallOptions,
    task: (call: Call, path: string) => Promise<Result>,
  ): Promise<Result> {
    const what = `${verb} of ${key}`;
    return this.#gate.run(what, options.signal, async (call) => {
      requireKey(key);
      return onFiles(what, () => task(call, this.#pathOf(key)));
    });
  }

  #pathOf(key: ObjectKey): string {
    return `${this.#directory.root}/${pathOfKey(key)}`;
  }

  /** Opens the object's file with the status of that very file, not of a later one of the name. */
  async #open(path: string, call: Call): Promise<OpenObject | undefined> {
    for (let attempt = 1; attempt <= objectLimits.openAttemptsMax; attempt += 1) {
      const status = await this.#directory.statusOf(path);
      if (status === undefined) return undefined;
      call.check();
      const file = await this.#openIfThere(path);
      if (file === undefined) continue;
      try {
        if (etagOf(await this.#platform.files.status(path)) === etagOf(status)) {
          call.check();
          return { file, status };
        }
      } catch (error) {
        await file.close();
        throw error;
      }
      await file.close();
    }
    throw new StoreError('UNAVAILABLE', `${path} was replaced again and again while being opened`);
  }

  async #openIfThere(path: string): Promise<OpenFile | undefined> {
    try {
      return await this.#platform.files.open(path, 'read');
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** What is known of the files, in their order, without those that are gone by now. */
  async #infosOf(found: readonly WalkedKey[], call: Call): Promise<readonly ObjectInfo[]> {
    const inFlightMax = objectLimits.statusesInFlightMax;
    const statuses = await mapBounded(found, inFlightMax, ({ path }) => {
      call.check();
      return this.#platform.files.status(path);
    });
    return found.flatMap(({ key }, index) => {
      const status = statuses[index];
      return status?.kind === 'file' ? [infoOf(key, status)] : [];
    });
  }
}

async function readInto(
  memory: Uint8Array,
  file: OpenFile,
  offset: number,
  call: Call,
): Promise<void> {
  for (let at = 0; at < memory.length; at += objectLimits.readChunkBytes) {
    call.check();
    const chunk = memory.subarray(at, at + objectLimits.readChunkBytes);
    const read = await file.read(chunk, offset + at);
    if (read === chunk.length) continue;
    throw new StoreError('UNAVAILABLE', `read ${at + read} of ${memory.length} bytes: file shrank`);
  }
  call.check();
}

async function take(
  walk: AsyncGenerator<WalkedKey, void, undefined>,
  count: number,
  call: Call,
): Promise<readonly WalkedKey[]> {
  const found: WalkedKey[] = [];
  while (found.length < count) {
    const next = await walk.next();
    call.check();
    if (next.done === true) break;
    found.push(next.value);
  }
  return found;
}

function infoOf(key: ObjectKey, status: FileStatus): ObjectInfo {
  return {
    key,
    byteLength: status.byteLength,
    etag: etagOf(status) ?? '',
    modifiedMs: status.modifiedMs,
  };
}
