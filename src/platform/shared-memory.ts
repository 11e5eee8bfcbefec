import type { KnownFileCode } from './known-file.ts';

/**
 * Files that several processes map, and the index that one of them writes there for the others
 * (capi/src/shared/shared-index.h). Present where native code is, on Linux. Calls are short and do not wait.
 */
export interface SharedMemory {
  /** Makes a file of zeros, mode 0600; fails with `EEXIST` when it is there. */
  create(path: string, byteLength: number): SharedFile;
  /** Opens a file that is there. */
  open(path: string, access: 'read' | 'read-write'): SharedFile;
  /** Removes a file, if it is there; what is mapped of it stays. */
  remove(path: string): void;
  /** Gives the file the other name, of which it takes the place at once; what is mapped of either stays. */
  rename(from: string, to: string): void;
  /**
   * Copies as many bytes as the target has. `target.set` copies byte by byte when one of them is shared
   * between threads and they begin at different places in a word: four times as slow.
   */
  copy(target: Uint8Array, source: Uint8Array): void;
  /**
   * Ends a mapping that {@link SharedFile.map} gave now, and not when it is garbage: all that looks into it has no bytes
   * then. Memory of a file that has no name goes with its last mapping.
   */
  unmap(memory: Uint8Array<ArrayBuffer>): void;
  readonly index: SharedIndexCode;
  /** Undefined where clients leave nothing in rings: of a machine that is simulated. */
  readonly ring?: SharedRingCode | undefined;
  /** Absent in a simulation, where nobody reads what a store knows. */
  readonly knownFile?: KnownFileCode | undefined;
}

/** An open file that is mapped. Errors are those of the system, with their `code`. */
export interface SharedFile {
  readonly byteLength: number;
  /** The whole file as it was opened. It stays mapped until the result is garbage. */
  map(): Uint8Array<ArrayBuffer>;
  /** The whole file, writable, in memory that worker threads share. At most 2 GiB. */
  mapForThreads(): Uint8Array<SharedArrayBuffer>;
  /**
   * Of the file of an index, once it is made: shows that this thread lives, in a word that the system
   * clears when it ends, until the function is called that this gives. Readers look at it without a
   * call to the system (docs/decisions/0075).
   */
  showLife(): () => void;
  /**
   * Gives a range memory of its own, so that writing to it cannot fail. False: there is none left. Huge pages where the
   * system has them: whoever maps the file meets fewer pages for the first time then (docs/decisions/0110).
   */
  reserve(start: number, byteLength: number): boolean;
  /**
   * The same on another thread: zeroing memory takes milliseconds, and where the system must find it first, tens of them. The
   * file may be closed meanwhile. Where the range is mapped, as memory that nobody uses yet, that mapping meets its
   * pages there too. Absent in a simulation, which takes no time for it.
   */
  reserveLater?(start: number, byteLength: number, mapped?: Uint8Array): Promise<boolean>;
  /**
   * Lets go of a range's memory, into which nobody looks: a read of it may end the process that reads
   * (docs/decisions/0112).
   */
  giveBack(start: number, byteLength: number): void;
  /** Locks a range against other open files, until it is unlocked or the process ends. */
  lock(start: number, byteLength: number): boolean;
  /** True when another open file has locked a part of the range. */
  isLocked(start: number, byteLength: number): boolean;
  unlock(start: number, byteLength: number): void;
  /** Closes the file. What is mapped stays, and as long as it does, so do locks. */
  close(): void;
}

/**
 * The functions of the index. `memory` is the file of an index, `clients` that of its clients.
 *
 * An *owner* is the number of a namespace times 256 plus the kind of the payload. Offsets are in units
 * of {@link offsetUnitBytes}.
 */
export interface SharedIndexCode {
  /** Makes an index with 2^log2Capacity entries of the memory, which is zeros. */
  create(memory: Uint8Array, log2Capacity: number, segmentBytes: number): void;
  /** False for memory that is no index, or of another version. */
  isValid(memory: Uint8Array): boolean;
  /**
   * Shows a payload, given as [segment, offset, length, crc, facts, owner, skip]; the owner may bear
   * {@link ownerMarks}. It begins `skip` times {@link skipUnitBytes} behind the offset of its extent. Gives
   * the number of its entry, or -1 when it found none.
   */
  publish(memory: Uint8Array, key: string, payload: Uint32Array): number;
  /**
   * Shows in another index what the entry shows, with its marks. Gives the number of its entry there, or -1
   * when it found none.
   */
  carry(from: Uint8Array, entry: number, to: Uint8Array): number;
  retire(memory: Uint8Array, entry: number): void;
  /** How many leading keys, joined, the owner has. What is no key in its one form nobody has. */
  find(memory: Uint8Array, keys: string, owner: number): number;
  /**
   * How many of the keys, joined, the owner has, of which each gets a mark of 1, and the others 0; -1 when one is no key in
   * its one form.
   */
  present(memory: Uint8Array, keys: string, owner: number, marks: Uint8Array): number;
  /**
   * Pins leading keys, joined, and gives how many. `exchange` begins with [owner, client]; behind that each
   * key has {@link recordWords}: the hazard to pin it by, which is given, and then what was found: segment
   * with skip in the bits above 16, offset, length, crc, facts.
   */
  pin(memory: Uint8Array, clients: Uint8Array, keys: string, exchange: Uint32Array): number;
  /** Lets go of what is pinned by the hazards of records, from one to before another. */
  unpin(clients: Uint8Array, exchange: Uint32Array, first: number, end: number): void;
  /** The number of a client that pins what lies there, -1 when none does. */
  holder(clients: Uint8Array, segment: number, offset: number): number;
  /** The caller has the client from now on; nothing is pinned. */
  beginClient(clients: Uint8Array, client: number): void;
  /** Nobody has the client; what it pinned is forgotten. */
  clearClient(clients: Uint8Array, client: number): void;
  /**
   * Copies a payload to memory that the store has lent for it, given as [segment, offset, salt, number],
   * for [client, hazard]; the hazard pins it meanwhile. Gives its CRC32C; -1 when the memory is lent no
   * more, and nothing was written. `memory` is the file of the segment, writable; `touched` says of which
   * parts this mapping has pages, a bit for each 64 KiB and one byte more, zeros at first. `stamps` is the file
   * of them.
   *
   * @throws RangeError when the payload would not lie within the segment.
   */
  fill(
    clients: Uint8Array,
    request: Uint32Array,
    memory: Uint8Array,
    lent: Uint32Array,
    payload: Uint8Array,
    touched: Uint8Array,
    stamps: Uint8Array,
  ): number;
}

/**
 * The client's side of a ring, in which it leaves saves for the store (capi/src/shared/commit-ring.h). A ring is what
 * `open` gave, and one thread uses it.
 */
export interface SharedRingCode {
  /** The ring whose file the memory is, writable; undefined when it is no new one. */
  open(memory: Uint8Array): unknown;
  /** Where what the store has not taken yet begins; -1: nothing more is accepted there. */
  look(ring: unknown): number;
  /**
   * Leaves a save. `before` is the parent and the fingerprint, joined, as far as they are known; `words` begins with
   * {@link ringSaveFlags} of them and has {@link ringFactWords} for each key: tokens, position, 1 for decoded tokens; and
   * where the payloads lie in lent memory, which is when there are none: checksum, length, segment, offset and number of the
   * loan. Loans are used in their order. Gives one of {@link ringLeavings}, and in the first word where the entry ends.
   */
  leave(
    ring: unknown,
    namespace: string,
    before: string,
    keys: string,
    words: Uint32Array,
    payloads: readonly Uint8Array[] | undefined,
  ): number;
  /**
   * True when as many of the next loans as the words have room for are for payloads of that length: each is given as
   * segment, offset, salt, number.
   */
  loans(ring: unknown, length: number, loans: Uint32Array): boolean;
  /** Says that there were no loans for so many payloads of that length. True when the store has to be told. */
  want(ring: unknown, count: number, length: number): boolean;
  /** The store could not be told: whoever leaves something next tells it. */
  untold(ring: unknown): void;
}

/** What came of a save that was to be left in a ring. `full` is also one that is paused. */
export const ringLeavings = [
  'left',
  'left with news',
  'full',
  'closed',
  'too long',
  'no key',
] as const;
export const ringSaveFlags = { parent: 1, fingerprint: 2 } as const;
export const ringFactWords = 8;
export const ringLoanWords = 4;

export const offsetUnitBytes = 4096;
/** What begins at a multiple of it in a file, and is as long, {@link SharedFile.reserve} makes a huge page of if it can. */
export const hugePageBytes = 2 * 1024 * 1024;
export const skipUnitBytes = 32;
export const skipMax = 127;
/** Words before the records of an exchange, and of each record. */
export const requestWords = 2;
export const recordWords = 6;
/** Most keys of one call. */
export const pinKeysMax = 1016;
export const clientsMax = 64;
export const clientBytes = 8192;
export const hazardsMax = 1016;
/** Where names begin in the file of an index, their number at most, and the bytes of each. */
export const namesStart = 4096;
export const namesMax = 1024;
export const nameBytes = 128;
/** Where entries begin, and the bytes of one. */
export const entriesStart = namesStart + namesMax * nameBytes;
export const entryBytes = 64;
/** Words of an entry that are read and written one by one. */
export const entryOffsets = { sequence: 0, location: 40, owner: 60 } as const;
/**
 * Marks in the word of an owner. `held`: the payload was accepted here and is in no file of the cache directory.
 * `confirmed`: the object store has it.
 */
export const ownerMarks = { held: 0x80, confirmed: 0x40 } as const;
/** Bytes of the bits that say which parts of a segment a mapping has pages for. */
export const touchedBytesOf = (segmentBytes: number): number =>
  Math.floor(segmentBytes / (8 * 64 * 1024)) + 1;
/**
 * Stamps that there are, and the bytes of one: the salt of the memory, and the number of the loan that is lent now or
 * 0. That of a loan is the one at its number modulo all.
 */
export const stampsMax = 16_384;
export const stampBytes = 8;
/** Words of the header that are read and written one by one. */
export const headerWords = { names: 6, state: 7, generation: 9, pinnedBytesMax: 10 } as const;
/** The word of a client that says which is the oldest index that it has mapped, by its generation. */
export const clientWords = { oldestIndex: 4 } as const;
/**
 * What the word of the state says. Nothing is found in an index that is not open. The one that supersedes it has its
 * name, and showed the same at that moment (docs/decisions/0100).
 */
export const indexStates = { open: 0, closed: 1, superseded: 2 } as const;
