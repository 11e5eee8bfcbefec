import { assert } from '../base/assert.ts';
import { blake3Hex } from '../base/blake3.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { FileStep, Files } from '../platform/files.ts';
import type { Call } from './call-gate.ts';
import { etagOf } from './file-etag.ts';
import type { KeyLocks } from './key-locks.ts';
import { bytesOfKey } from './object-key.ts';
import type { ObjectKey, PutCondition, PutResult } from './object-store.ts';
import type { RetainedFiles } from './retained-files.ts';
import type { StoreDirectory } from './store-directory.ts';

/** An object to make. */
export interface PutOrder {
  readonly key: ObjectKey;
  readonly path: string;
  readonly parts: readonly Uint8Array[];
  readonly condition: PutCondition | undefined;
}

export interface ObjectWriterParts {
  readonly files: Files;
  readonly directory: StoreDirectory;
  readonly locks: KeyLocks;
  readonly retained: RetainedFiles;
}

/** A put that waits for its file to become the object. */
interface Written extends PutOrder {
  readonly temporary: string;
}

/** How far the steps of a put came. */
interface Way {
  readonly done: number;
  readonly failure: unknown;
  readonly isStored: boolean;
  /** True when the failure is one behind which the put goes on. */
  readonly goesOn: boolean;
}

/** Steps of a put if-absent, by their index; those between the name and the removal are syncs. */
const [lookStep, writeStep, linkStep, firstSyncStep] = [0, 1, 2, 3];

/**
 * Puts of a directory store, as `directory-object-store.ts` says what they promise: bytes in a
 * temporary file, synced; then the name; then the directories.
 *
 * What uploads ask for, a new object, if-absent, in a directory that is there, is carried out by one
 * order of steps; where its directory is missing, by one more. Where that stops, for the root is not
 * made or the object is there, the rest is done call by call.
 */
export class ObjectWriter {
  readonly #files: Files;
  readonly #directory: StoreDirectory;
  readonly #locks: KeyLocks;
  readonly #retained: RetainedFiles;

  constructor({ files, directory, locks, retained }: ObjectWriterParts) {
    this.#files = files;
    this.#directory = directory;
    this.#locks = locks;
    this.#retained = retained;
  }

  async put(order: PutOrder, call: Call): Promise<PutResult> {
    return order.condition?.kind === 'if-absent'
      ? this.#putAtOnce(order, call)
      : this.#putCallByCall(order, call);
  }

  async #putAtOnce(order: PutOrder, call: Call): Promise<PutResult> {
    const written = { ...order, temporary: this.#directory.newTemporaryPath() };
    let way = await this.#carryOut(written, lookStep, call);
    if (way.isStored) return { outcome: 'stored' };
    // Nothing was made.
    if (way.goesOn && way.done < linkStep) return this.#putCallByCall(order, call);
    try {
      if (isMissing(way)) {
        call.check();
        await this.#directory.makeDirectoryFor(order.path);
        way = await this.#carryOut(written, linkStep, call);
        if (way.isStored) return { outcome: 'stored' };
      }
      call.check();
      if (!way.goesOn) throw way.failure;
      if (way.done === linkStep) return await this.#publish(written, call);
      await this.#directory.syncName(order.path);
      return { outcome: 'stored' };
    } finally {
      if (!way.isStored) await this.#directory.discard(written.temporary);
    }
  }

  /** Carries out the steps of a put if-absent from that one on. */
  async #carryOut({ path, parts, temporary }: Written, from: number, call: Call): Promise<Way> {
    const unsynced = this.#directory.unsyncedFor(path);
    const steps: readonly FileStep[] = [
      { kind: 'expect-absent', path },
      { kind: 'write-new', path: temporary, parts },
      { kind: 'link', existing: temporary, path },
      ...unsynced.directories.map((at) => ({ kind: 'sync-directory' as const, path: at })),
      { kind: 'remove', path: temporary },
    ];
    const rest = from === 0 ? steps : steps.slice(from);
    const outcome = await this.#files.steps(rest, call.signal);
    const { failure } = outcome;
    const done = from + outcome.done;
    const isStored = done === steps.length;
    const isSynced = isStored && this.#directory.noteSynced(unsynced);
    if (isStored && !isSynced) await this.#directory.syncName(path);
    const goesOn = !isStored && isExpected(failure, done, steps.length);
    return { done, failure, isStored, goesOn };
  }

  async #putCallByCall(order: PutOrder, call: Call): Promise<PutResult> {
    const early = await this.#outcomeWithoutWriting(order);
    if (early !== undefined) return { outcome: early };
    call.check();
    const temporary = await this.#writeTemporary(order.parts, call);
    try {
      return await this.#publish({ ...order, temporary }, call);
    } finally {
      await this.#directory.discard(temporary);
    }
  }

  /** Answers a conditional put whose condition does not hold, before its body is written. */
  async #outcomeWithoutWriting({
    path,
    condition,
  }: PutOrder): Promise<'present' | 'changed' | undefined> {
    if (condition === undefined) return undefined;
    const status = await this.#directory.statusOf(path);
    if (condition.kind === 'if-match')
      return etagOf(status) === condition.etag ? undefined : 'changed';
    if (status === undefined) return undefined;
    // Its writer may not have come so far, and present must mean durable.
    await this.#directory.syncName(path);
    return 'present';
  }

  async #writeTemporary(parts: readonly Uint8Array[], call: Call): Promise<string> {
    const path = this.#directory.newTemporaryPath();
    const step = { kind: 'write-new', path, parts } as const;
    let { failure } = await this.#files.steps([step], call.signal);
    try {
      if (systemErrorCode(failure) === 'ENOENT') {
        await this.#directory.prepare();
        ({ failure } = await this.#files.steps([step], call.signal));
      }
      call.check();
      if (failure !== undefined) throw failure;
      this.#directory.noteSeen();
      return path;
    } catch (error) {
      await this.#directory.discard(path);
      throw error;
    }
  }

  /** Gives the file the object's name and makes that durable. */
  async #publish(written: Written, call: Call): Promise<PutResult> {
    const result: PutResult =
      written.condition?.kind === 'if-absent'
        ? { outcome: await this.#link(written) }
        : await this.#replace(written, call);
    if (result.outcome !== 'changed') await this.#directory.syncName(written.path);
    return result;
  }

  async #link({ temporary, path }: Written): Promise<'stored' | 'present'> {
    try {
      await this.#directory.publish(temporary, path, () => this.#files.link(temporary, path));
      return 'stored';
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') return 'present';
      throw error;
    }
  }

  #replace(written: Written, call: Call): Promise<PutResult> {
    const { key, path, temporary, condition } = written;
    return this.#locks.hold(lockNameOf(key), call, async (lock) => {
      if (condition?.kind === 'if-match') {
        const status = await this.#files.status(path);
        if (etagOf(status) !== condition.etag) return { outcome: 'changed' };
      }
      // A new name changes nothing of what the tag is made of.
      const status = condition === undefined ? await this.#files.status(temporary) : undefined;
      await this.#retained.retain(path);
      call.check();
      await this.#directory.publish(temporary, path, () => {
        lock.check();
        return this.#files.rename(temporary, path);
      });
      return status === undefined
        ? { outcome: 'stored' }
        : { outcome: 'stored', etag: etagOf(status) };
    });
  }
}

export function lockNameOf(key: ObjectKey): string {
  return blake3Hex(bytesOfKey(key));
}

/** True when the directory of the object is missing. */
function isMissing({ done, failure }: Way): boolean {
  return done === linkStep && systemErrorCode(failure) === 'ENOENT';
}

/**
 * True for a failure behind which the put goes on call by call: what is there, or missing, is looked
 * at there. A sync that failed is not tried again: the system tells of lost bytes only once.
 */
function isExpected(failure: unknown, done: number, steps: number): boolean {
  const code = systemErrorCode(failure) ?? '';
  if (done === lookStep) return code === 'EEXIST';
  if (done === writeStep) return code === 'ENOENT';
  if (done === linkStep) return code === 'ENOENT' || code === 'EEXIST';
  if (done === steps - 1) return true;
  assert(done >= firstSyncStep, 'what follows the name is syncs');
  // From opening the directory: it is gone, or closed to us.
  return code === 'ENOENT' || code === 'EACCES';
}
