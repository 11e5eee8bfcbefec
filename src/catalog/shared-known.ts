import { assert } from '../base/assert.ts';
import { messageOf, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { knownFile, knownFileBytesOf } from '../platform/known-file.ts';
import type { KnownFileCode } from '../platform/known-file.ts';
import type { SharedFile, SharedMemory } from '../platform/shared-memory.ts';
import type { SharedTags } from './tag-shard.ts';

export interface SharedKnownParts {
  readonly memory: Pick<SharedMemory, 'create' | 'remove'>;
  readonly code: KnownFileCode;
  readonly path: string;
  readonly logger: Logger;
  /** Bytes of memory that it takes at most. */
  readonly byteLengthMax: number;
  readonly mix: Int32Array;
  readonly shardSlotsMax: number;
}

const { nameOffsets, pageBytes } = knownFile;

/**
 * The file in which other processes of the host read what a table of known keys has (docs/decisions/0107): it is not
 * another copy, but the memory of the table itself. A shard for which there is no memory is not there, and whoever looks
 * for its keys asks the store, as all did without the file.
 *
 * Memory is taken before anything is written or said to be there, and never given back, so that no reader meets a page
 * that the system has none for.
 */
export class SharedKnown {
  readonly #parts: SharedKnownParts;
  readonly #code: KnownFileCode;
  readonly #file: SharedFile;
  readonly #memory: Uint8Array;
  readonly #words: Int32Array;
  readonly #regionEntries: number;
  /** Bytes of the region of each shard that have memory. */
  readonly #takenBytes = new Uint32Array(knownFile.shards);
  #leftBytes: number;
  /** Where the name of each namespace is. */
  readonly #names = new Map<Namespace, number>();
  #isClosed = false;
  #hasRefused = false;

  /** Makes the file. Fails with `ENOSPC` when there is no memory for it. */
  constructor(parts: SharedKnownParts) {
    const { memory, code, path, byteLengthMax, shardSlotsMax, mix } = parts;
    this.#regionEntries = Math.max(knownFile.regionEntriesMin, shardSlotsMax);
    const log2Region = Math.log2(this.#regionEntries);
    assert(Number.isInteger(log2Region), `regions for ${shardSlotsMax} entries`);
    this.#parts = parts;
    this.#code = code;
    this.#file = memory.create(path, knownFileBytesOf(this.#regionEntries));
    this.#leftBytes = byteLengthMax - knownFile.regionsStart;
    try {
      if (this.#leftBytes < 0 || !this.#file.reserve(0, knownFile.regionsStart))
        throw Object.assign(new Error('there is no room for shared memory'), { code: 'ENOSPC' });
      this.#memory = this.#file.map();
    } catch (error) {
      this.#file.close();
      memory.remove(path);
      throw error;
    }
    const { buffer, byteOffset, byteLength } = this.#memory;
    this.#words = new Int32Array(buffer, byteOffset, byteLength / 4);
    this.#code.create(this.#memory, log2Region, mix);
  }

  /**
   * The number by which the blocks of the namespace are known; 0: by none any more. A namespace for whose name there is
   * no room has none there.
   */
  setOwner(namespace: Namespace, owner: number): void {
    const name = this.#names.get(namespace) ?? this.#addName(namespace);
    if (name === undefined) return;
    Atomics.store(this.#words, (startOfName(name) + nameOffsets.owner) / 4, owner);
    // Last: whoever sees the name sees its number.
    const count = Math.max(name + 1, Atomics.load(this.#words, knownFile.namesWord));
    Atomics.store(this.#words, knownFile.namesWord, count);
  }

  /** Memory for the entries of that shard. */
  tags(shard: number): SharedTags {
    return {
      place: (entries) => this.#place(shard, entries),
      put: (slot, entries, from) => this.#code.put(this.#memory, shard, slot, entries, from),
      withdraw: () => this.#code.withdraw(this.#memory, shard),
    };
  }

  /** It takes no more memory. What is in it is read and written as before. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
  }

  #place(shard: number, entries: Int32Array): Int32Array | undefined {
    if (!isSmall(entries) && !this.#take(shard, entries.byteLength)) {
      this.#code.withdraw(this.#memory, shard);
      return undefined;
    }
    this.#code.place(this.#memory, shard, entries);
    const { buffer, byteOffset } = this.#memory;
    const start = isSmall(entries)
      ? knownFile.smallStart + shard * pageBytes
      : this.#regionStart(shard);
    return new Int32Array(buffer, byteOffset + start, entries.length);
  }

  /** Memory for so many bytes of the region. False when there is none. */
  #take(shard: number, byteLength: number): boolean {
    const taken = this.#takenBytes[shard];
    const more = pageBytes * Math.ceil(byteLength / pageBytes) - taken;
    if (more <= 0) return true;
    if (this.#isClosed) return false;
    try {
      const start = this.#regionStart(shard) + taken;
      const why = `it may take ${this.#parts.byteLengthMax} bytes, and the system may have less`;
      if (more > this.#leftBytes || !this.#file.reserve(start, more)) return this.#refuse(why);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      return this.#refuse(messageOf(error));
    }
    this.#leftBytes -= more;
    this.#takenBytes[shard] += more;
    return true;
  }

  #refuse(why: string): false {
    const { logger, path } = this.#parts;
    if (!this.#hasRefused) {
      const event = 'shared memory: clients ask for keys that are known in the bucket';
      logger.info(event, { path, why });
    }
    this.#hasRefused = true;
    return false;
  }

  #regionStart(shard: number): number {
    return knownFile.regionsStart + shard * this.#regionEntries * knownFile.entryBytes;
  }

  /** Undefined when there is no room for the name. */
  #addName(namespace: Namespace): number | undefined {
    const name = this.#names.size;
    const text = new TextEncoder().encode(namespace);
    if (name >= knownFile.namesMax || text.length > knownFile.nameTextMax) return undefined;
    const at = startOfName(name);
    this.#words[(at + nameOffsets.length) / 4] = text.length;
    this.#memory.set(text, at + nameOffsets.text);
    this.#names.set(namespace, name);
    return name;
  }
}

/** It lies in a page that has its memory from the beginning. */
function isSmall({ byteLength }: Int32Array): boolean {
  return byteLength <= knownFile.smallEntriesMax * knownFile.entryBytes;
}

/** Where a name begins in the file. */
function startOfName(name: number): number {
  return knownFile.namesStart + name * knownFile.nameBytes;
}
