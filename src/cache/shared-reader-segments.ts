import { touchedBytesOf } from '../platform/shared-memory.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import { sharedPaths } from './shared-layout.ts';
import { openWhole } from './shared-reader-files.ts';

/** A segment that may be filled. */
export interface WritableSegment {
  readonly memory: Uint8Array;
  /** A bit for each part of it whose pages this process has met. */
  readonly touched: Uint8Array;
}

/** The segments of a store as a client maps them, each when something in it is first met. */
export class ReaderSegments {
  readonly #files: SharedMemory;
  readonly #directory: string;
  readonly #readable: Uint8Array[] = [];
  /** Where it is said of each segment what was used; undefined where it cannot be. */
  readonly #uses: (Uint8Array | undefined)[] = [];
  readonly #writable: WritableSegment[] = [];

  constructor(files: SharedMemory, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** The segment to read. Throws what the system says when it cannot be mapped. */
  readable(number: number): Uint8Array {
    const known = this.#readable[number];
    if (known !== undefined) return known;
    const path = sharedPaths.uses(this.#directory, number);
    this.#uses[number] = openWhole(this.#files, path, 'read-write', 1);
    return (this.#readable[number] = this.#map(number, 'read'));
  }

  /** The same segment once more, to fill what is lent of it. */
  writable(number: number): WritableSegment {
    const known = this.#writable[number];
    if (known !== undefined) return known;
    const memory = this.#map(number, 'read-write');
    const touched = new Uint8Array(touchedBytesOf(memory.byteLength));
    return (this.#writable[number] = { memory, touched });
  }

  /** The store evicts first what nobody says this of. */
  noteUse(segment: number, unit: number): void {
    const uses = this.#uses[segment];
    // A look disturbs nobody; a store takes the line away from everybody who has it.
    if (uses !== undefined && uses[unit] === 0) uses[unit] = 1;
  }

  #map(number: number, access: 'read' | 'read-write'): Uint8Array {
    const file = this.#files.open(sharedPaths.segment(this.#directory, number), access);
    try {
      return file.map();
    } finally {
      file.close();
    }
  }
}
