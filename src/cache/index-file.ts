import { assert } from '../base/assert.ts';
import {
  entriesStart,
  entryBytes,
  entryOffsets,
  headerWords,
  indexStates,
  namesStart,
} from '../platform/shared-memory.ts';
import type { SharedFile, SharedIndexCode, SharedMemory } from '../platform/shared-memory.ts';
import { SharedNames } from './shared-names.ts';

/** What the file of an index is made of. */
export interface IndexFileParts {
  readonly memory: SharedMemory;
  readonly path: string;
  readonly entriesLog2: number;
  readonly segmentBytes: number;
  /** How many the store made before, and one more. */
  readonly generation: number;
  /** Bytes of payloads that one client pins at most. */
  readonly pinnedBytesMax: number;
}

/** Bytes of memory that are taken at a time: a tenth to a third of a millisecond. */
const stepBytes = 256 * 1024;

/** Bytes of the file of an index. */
export function indexBytesOf(entriesLog2: number): number {
  return entriesStart + 2 ** entriesLog2 * entryBytes;
}

/**
 * One file of an index, as the store has it: it is made, written by the store alone, and given up when another
 * takes its place. Memory for it is taken in steps, before anything is written there, and never given back: it goes
 * with the last process that has the file mapped, so none ever reads where there is none (docs/decisions/0112).
 */
export class IndexFile {
  readonly capacity: number;
  readonly generation: number;
  readonly #parts: IndexFileParts;
  readonly #code: SharedIndexCode;
  readonly #file: SharedFile;
  #takenBytes = 0;
  #opened: OpenedIndex | undefined;
  /** Entries that show something, and those that ever did. */
  #live = 0;
  #used = 0;

  /** Makes the file. */
  constructor(parts: IndexFileParts) {
    this.#parts = parts;
    this.#code = parts.memory.index;
    this.capacity = 2 ** parts.entriesLog2;
    this.generation = parts.generation;
    this.#file = parts.memory.create(parts.path, indexBytesOf(parts.entriesLog2));
  }

  get live(): number {
    return this.#live;
  }

  get used(): number {
    return this.#used;
  }

  get names(): SharedNames {
    return this.#index.names;
  }

  get byteLength(): number {
    return this.#file.byteLength;
  }

  /** True once all of its memory is there. */
  get isWhole(): boolean {
    return this.#takenBytes === this.#file.byteLength;
  }

  /** Takes the next piece of memory. False when the system has none. */
  takeMemory(byteLength = stepBytes): boolean {
    const length = Math.min(byteLength, this.#file.byteLength - this.#takenBytes);
    if (!this.#file.reserve(this.#takenBytes, length)) return false;
    this.#takenBytes += length;
    return true;
  }

  /** Makes an index of the memory, locked and shown to be that of a store which lives. */
  open(): void {
    assert(
      this.isWhole && this.#opened === undefined,
      'an index is opened once, in memory of its own',
    );
    assert(this.#file.lock(0, 1), 'a new index is nobody else’s');
    const memory = this.#file.map();
    this.#code.create(memory, this.#parts.entriesLog2, this.#parts.segmentBytes);
    const words = new Int32Array(memory.buffer, memory.byteOffset, memory.byteLength / 4);
    Atomics.store(words, headerWords.generation, this.generation);
    const most = BigInt(this.#parts.pinnedBytesMax);
    new BigUint64Array(memory.buffer, memory.byteOffset)[headerWords.pinnedBytesMax / 2] = most;
    const names = new SharedNames(memory);
    this.#opened = { memory, words, names, endLife: this.#file.showLife() };
  }

  /** Takes over the names of another, which keep their numbers. */
  takeNames(from: IndexFile): void {
    const { memory, words } = this.#index;
    const other = from.#index;
    memory.set(other.memory.subarray(namesStart, entriesStart), namesStart);
    Atomics.store(words, headerWords.names, Atomics.load(other.words, headerWords.names));
  }

  /** As {@link SharedIndexCode.publish}. */
  publish(name: string, payload: Uint32Array): number {
    return this.#noteShown(this.#code.publish(this.#index.memory, name, payload));
  }

  /** Shows what the entry of another index shows; -1 when there is no room. */
  carry(from: IndexFile, entry: number): number {
    return this.#noteShown(this.#code.carry(from.#index.memory, entry, this.#index.memory));
  }

  retire(entry: number): void {
    this.#code.retire(this.#index.memory, entry);
    this.#live -= 1;
  }

  /** Whose the payload is that the entry shows, with its marks. */
  ownerOf(entry: number): number {
    return Atomics.load(this.#index.words, wordOf(entry, entryOffsets.owner));
  }

  setOwner(entry: number, owner: number): void {
    Atomics.store(this.#index.words, wordOf(entry, entryOffsets.owner), owner);
  }

  /** Gives the file the name of an index that readers look for. */
  takeName(path: string): void {
    this.#parts.memory.rename(this.#parts.path, path);
  }

  /**
   * Readers look for the index that has taken its name. Whoever does not, never again finds anything here; the file stays
   * as long as somebody has it mapped. Nothing of it is used here any more.
   */
  supersede(): void {
    const { memory, endLife } = this.#index;
    this.#setState(indexStates.superseded);
    // After the state: whoever sees that nobody lives here sees why.
    endLife();
    this.#opened = undefined;
    this.#file.close();
    this.#parts.memory.unmap(memory);
  }

  /** Nothing is found in it any more. */
  close(): void {
    if (this.#opened !== undefined) {
      this.#setState(indexStates.closed);
      this.#opened.endLife();
      this.#file.unlock(0, 1);
    }
    this.#file.close();
  }

  /** Of one that has not taken a name. */
  remove(): void {
    this.close();
    this.#parts.memory.remove(this.#parts.path);
  }

  get #index(): OpenedIndex {
    assert(this.#opened !== undefined, 'an index is written once it is open');
    return this.#opened;
  }

  #setState(state: number): void {
    Atomics.store(this.#index.words, headerWords.state, state);
  }

  #noteShown(entry: number): number {
    if (entry < 0) return entry;
    this.#live += 1;
    const sequence = wordOf(entry, entryOffsets.sequence);
    const { words } = this.#index;
    if (words[sequence] === 2 && words[sequence + 1] === 0) this.#used += 1;
    return entry;
  }
}

interface OpenedIndex {
  readonly memory: Uint8Array<ArrayBuffer>;
  /** The same by words. */
  readonly words: Int32Array;
  readonly names: SharedNames;
  readonly endLife: () => void;
}

function wordOf(entry: number, offset: number): number {
  return (entriesStart + entry * entryBytes + offset) / 4;
}
