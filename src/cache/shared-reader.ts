import { assert } from '../base/assert.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { LoadedBlock } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { LentPlace } from '../blocks/served-store.ts';
import {
  clientBytes,
  clientWords,
  hazardsMax,
  headerWords,
  indexStates,
  offsetUnitBytes,
  pinKeysMax,
  recordWords,
  requestWords,
  skipUnitBytes,
} from '../platform/shared-memory.ts';
import type { SharedFile, SharedIndexCode, SharedMemory } from '../platform/shared-memory.ts';
import { KnownReader } from './known-reader.ts';
import { factBits, ownerOf, sharedPaths } from './shared-layout.ts';
import {
  joinClients,
  openIndex,
  openStamps,
  pinnedBytesMaxOf,
  viewOf,
} from './shared-reader-files.ts';
import type { IndexView, ReaderParts } from './shared-reader-files.ts';
import { ReaderSegments } from './shared-reader-segments.ts';
import type { WritableSegment } from './shared-reader-segments.ts';

/** What a load asks of blocks, or of another kind: the key of a tail is its digest. */
export interface SharedWish {
  readonly exact: boolean;
  /** Undefined: any. */
  readonly fingerprint: string | undefined;
  readonly kind?: PayloadKind;
}

/**
 * Leading blocks that are pinned where they lie, until they are released: read-only memory, and a write to
 * it ends the process.
 */
export interface SharedPins {
  readonly blocks: readonly LoadedBlock[];
  /** Entries that point to what no payload can be. Then nothing is found here any more. */
  readonly damaged: number;
  /** Harmless when called again. */
  readonly release: () => void;
}

/** Fills memory that the store has lent for the payloads of a save. */
export interface SharedFiller {
  /** Copies the payload to its place and gives its CRC32C; undefined when the memory is lent no more. */
  fill(place: LentPlace, payload: Uint8Array): number | undefined;
  /** Nothing is filled any more. Harmless when called again. */
  end(): void;
}

/** Namespaces are counted from 1. */
const nobody = ownerOf(0);
const noPins: SharedPins = { blocks: [], damaged: 0, release: () => undefined };

/**
 * The memory of a store on this host, as a client reads it: without a call to the store and without a
 * copy. What it finds is there; what it does not find may be elsewhere, and the store knows.
 */
export class SharedReader {
  readonly #code: SharedIndexCode;
  readonly #files: SharedMemory;
  readonly #directory: string;
  /** Another one when the store has built its index anew; pins and segments stay. */
  #view: IndexView;
  /** What the store knows in the bucket, if it tells. */
  readonly #known: KnownReader | undefined;
  readonly #clientsFile: SharedFile;
  readonly #clients: Uint8Array;
  readonly #client: number;
  /** By which it sees what the store lends; undefined: nothing is filled. */
  readonly #stamps: Uint8Array | undefined;
  readonly #segments: ReaderSegments;
  /** Hazards that pin nothing: the first so many, the lowest number last. */
  readonly #free = Uint32Array.from({ length: hazardsMax }, (_, i) => hazardsMax - 1 - i);
  #freeCount = hazardsMax;
  /** Bytes of the payloads that are pinned, and how many may be. */
  #pinnedBytes = 0;
  readonly #pinnedBytesMax: number;
  /** What {@link SharedIndexCode.pin} is given and gives; nothing in it is kept from call to call. */
  readonly #exchange = new Uint32Array(requestWords + pinKeysMax * recordWords);
  #isClosed = false;
  #hasLeft = false;

  private constructor(files: SharedMemory, directory: string, parts: ReaderParts) {
    this.#code = files.index;
    this.#files = files;
    this.#directory = directory;
    this.#segments = new ReaderSegments(files, directory);
    this.#view = viewOf(parts.index);
    this.#known = KnownReader.open(files, directory);
    this.#clientsFile = parts.clientsFile;
    this.#clients = parts.clients;
    this.#client = parts.client;
    this.#pinnedBytesMax = pinnedBytesMaxOf(parts.index);
    this.#stamps = parts.stamps;
    this.#exchange[1] = parts.client;
    this.#showIndex();
  }

  /**
   * Joins the clients of the store whose shared memory is in the directory. Undefined when there is
   * none, when it is dead or of another version, or when it has no room for one more client.
   */
  static open(files: SharedMemory, directory: string): SharedReader | undefined {
    try {
      const index = openIndex(files, directory);
      if (index === undefined) return undefined;
      const clientsFile = files.open(sharedPaths.clients(directory), 'read-write');
      const joined = joinClients(files, clientsFile);
      if (joined === undefined) return undefined;
      const stamps = openStamps(files, directory);
      return new SharedReader(files, directory, { index, clientsFile, stamps, ...joined });
    } catch (error) {
      // The store closed and removed its files meanwhile.
      if (systemErrorCode(error) === undefined) throw error;
      return undefined;
    }
  }

  /** Where the store's shared files lie. */
  get directory(): string {
    return this.#directory;
  }

  /**
   * False once the store has closed: what it had is elsewhere. An index that the store has built anew is
   * mapped first, which is the only call to the system here.
   */
  get isOpen(): boolean {
    if (this.#isClosed) return false;
    const state = Atomics.load(this.#view.header, headerWords.state);
    return state === indexStates.open || (state === indexStates.superseded && this.#renew());
  }

  /** How many leading blocks are in memory now. The digits of the keys need not have been checked. */
  find(namespace: Namespace, keys: readonly BlockKey[]): number {
    const owner = this.isOpen ? this.#ownerOf(namespace) : undefined;
    if (owner === undefined) return 0;
    const { index } = this.#view;
    for (let at = 0; at < keys.length; at += pinKeysMax) {
      const some = keys.length <= pinKeysMax ? keys : keys.slice(at, at + pinKeysMax);
      const found = this.#find(index, some.join(''), owner);
      if (found < some.length) return at + found;
    }
    return keys.length;
  }

  /**
   * True when the store would say by what it knows that all blocks are stored, in its memory or in the bucket: then
   * nobody has to ask it. As for {@link find} with the digits.
   */
  areStored(namespace: Namespace, keys: readonly BlockKey[]): boolean {
    const known = this.#known;
    if (known === undefined) return keys.length > 0 && this.find(namespace, keys) === keys.length;
    if (!this.isOpen) return false;
    const there = { index: this.#view.index, owner: this.#ownerOf(namespace) ?? 0 };
    try {
      return known.areStored(there, namespace, keys);
    } catch (error) {
      this.#giveUp(error);
      return false;
    }
  }

  /**
   * How many of the blocks, at most {@link pinKeysMax}, are in memory now, of which each gets a mark of 1 and the others 0;
   * undefined when a key is none.
   */
  present(namespace: Namespace, keys: readonly BlockKey[], marks: Uint8Array): number | undefined {
    // Without a name nothing of it is there: any owner does to look at the keys.
    const owner = (this.isOpen ? this.#ownerOf(namespace) : undefined) ?? nobody;
    try {
      const count = this.#code.present(this.#view.index, keys.join(''), owner, marks);
      return count < 0 ? undefined : count;
    } catch (error) {
      this.#giveUp(error);
      marks.fill(0);
      return 0;
    }
  }

  /** An index whose header was damaged since it was opened has nothing. */
  #find(index: Uint8Array, keys: string, owner: number): number {
    try {
      return this.#code.find(index, keys, owner);
    } catch (error) {
      this.#giveUp(error);
      return 0;
    }
  }

  /** Pins leading blocks that suit, as far as there are hazards and as is pinned at most. As for {@link find} with the digits. */
  pin(namespace: Namespace, keys: readonly BlockKey[], wish: SharedWish): SharedPins {
    // First: numbers of names are those of one index.
    const owner = this.isOpen ? this.#ownerOf(namespace, wish.kind) : undefined;
    const count = Math.min(keys.length, this.#freeCount);
    if (owner === undefined || count === 0) return noPins;
    const exchange = this.#exchange;
    exchange[0] = owner;
    for (let place = 0; place < count; place += 1) {
      exchange[recordAt(place)] = this.#free[this.#freeCount - 1 - place];
    }
    const text = keys.length === count ? keys.join('') : keys.slice(0, count).join('');
    let blocks: readonly LoadedBlock[];
    let pinned = 0;
    try {
      pinned = this.#code.pin(this.#view.index, this.#clients, text, exchange);
      blocks = this.#blocksOf(keys.slice(0, pinned), wish);
    } catch (error) {
      this.#code.unpin(this.#clients, exchange, 0, pinned);
      return this.#giveUp(error);
    }
    const { length } = blocks;
    if (pinned > length) this.#code.unpin(this.#clients, exchange, length, pinned);
    this.#freeCount -= length;
    for (const { payload } of blocks) this.#pinnedBytes += payload.byteLength;
    return length === 0 ? noPins : this.#pins(blocks);
  }

  /** Leading ones of those that are pinned: what suits, and not more than may be pinned. */
  #blocksOf(keys: readonly BlockKey[], wish: SharedWish): readonly LoadedBlock[] {
    const blocks: LoadedBlock[] = [];
    let bytes = this.#pinnedBytes;
    for (let place = 0; place < keys.length && this.#suits(place, wish); place += 1) {
      const block = this.#blockAt(place, keys[place]);
      bytes += block.payload.byteLength;
      if (bytes > this.#pinnedBytesMax) break;
      blocks.push(block);
    }
    return blocks;
  }

  /** The store is asked from now on. */
  #giveUp(error: unknown): SharedPins {
    // A file is gone, or there is no descriptor or memory to map it; or what an entry or the header says cannot be.
    const isDamaged = error instanceof RangeError;
    if (systemErrorCode(error) === undefined && !isDamaged) throw error;
    this.close();
    return { ...noPins, damaged: isDamaged ? 1 : 0 };
  }

  /** Takes a hazard to fill lent memory with; undefined when all are in use. */
  filler(): SharedFiller | undefined {
    const stamps = this.#stamps;
    if (stamps === undefined || this.#freeCount === 0 || !this.isOpen) return undefined;
    this.#freeCount -= 1;
    const hazard = this.#free[this.#freeCount];
    const request = Uint32Array.of(this.#client, hazard);
    let hasEnded = false;
    return {
      fill: ({ segment, offset, salt, number }, payload) => {
        assert(!hasEnded, 'what has ended fills nothing');
        const lent = Uint32Array.of(segment, offset, salt, number);
        const { memory, touched } = this.#writableSegment(segment);
        const whose = this.#clients;
        const crc = this.#code.fill(whose, request, memory, lent, payload, touched, stamps);
        if (crc >= 0) return crc;
        // Taken back, or never of this store: a daemon may have died, and its successor lends.
        this.close();
        return undefined;
      },
      end: () => {
        if (hasEnded) return;
        hasEnded = true;
        this.#free[this.#freeCount] = hazard;
        this.#freeCount += 1;
        this.#leaveWhenDone();
      },
    };
  }

  /** Looks no more. What is pinned stays pinned until it is released. */
  close(): void {
    if (!this.#isClosed) this.#files.unmap(this.#view.index);
    this.#isClosed = true;
    this.#leaveWhenDone();
  }

  /** Maps the index that has superseded this one. False when it cannot be had, or is not the last one either. */
  #renew(): boolean {
    try {
      const index = openIndex(this.#files, this.#directory);
      if (index === undefined) return false;
      const before = this.#view;
      this.#view = viewOf(index);
      this.#files.unmap(before.index);
      this.#showIndex();
      return Atomics.load(this.#view.header, headerWords.state) === indexStates.open;
    } catch (error) {
      // The store closed and removed its files, or there is no descriptor: the socket serves.
      if (systemErrorCode(error) === undefined) throw error;
      return false;
    }
  }

  /** Tells the store which index has memory for this client. */
  #showIndex(): void {
    const { buffer, byteOffset } = this.#clients;
    const words = new Int32Array(buffer, byteOffset + this.#client * clientBytes, clientBytes / 4);
    const generation = Atomics.load(this.#view.header, headerWords.generation);
    Atomics.store(words, clientWords.oldestIndex, generation);
  }

  /** The first so many records of the exchange are theirs. */
  #pins(blocks: readonly LoadedBlock[]): SharedPins {
    const hazards = blocks.map((_, place) => this.#exchange[recordAt(place)]);
    let isReleased = false;
    return {
      blocks,
      damaged: 0,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        for (const { payload } of blocks) this.#pinnedBytes -= payload.byteLength;
        this.#unpin(hazards);
        this.#leaveWhenDone();
      },
    };
  }

  #unpin(hazards: readonly number[]): void {
    for (let place = 0; place < hazards.length; place += 1) {
      this.#exchange[recordAt(place)] = hazards[place];
      // They are taken again in the order in which they were.
      this.#free[this.#freeCount + hazards.length - 1 - place] = hazards[place];
    }
    this.#code.unpin(this.#clients, this.#exchange, 0, hazards.length);
    this.#freeCount += hazards.length;
  }

  /** The lock says that somebody pins; without it the store forgets the pins of this client. */
  #leaveWhenDone(): void {
    if (!this.#isClosed || this.#hasLeft || this.#freeCount < hazardsMax) return;
    this.#hasLeft = true;
    // What is mapped keeps the file open, and so its lock.
    this.#clientsFile.unlock(this.#client * clientBytes, clientBytes);
    this.#clientsFile.close();
  }

  #suits(place: number, { exact, fingerprint }: SharedWish): boolean {
    const facts = this.#exchange[recordAt(place) + 5];
    if (exact && (facts & factBits.decoded) !== 0) return false;
    const number = facts >>> factBits.fingerprintShift;
    if (fingerprint === undefined || number === 0) return true;
    return number === this.#view.names.find('fingerprint', fingerprint);
  }

  /** @throws RangeError when the entry points to what no payload can be. */
  #blockAt(place: number, key: BlockKey): LoadedBlock {
    const exchange = this.#exchange;
    const at = recordAt(place);
    const where = exchange[at + 1];
    const length = exchange[at + 3];
    const facts = exchange[at + 5];
    const start = exchange[at + 2] * offsetUnitBytes + (where >>> 16) * skipUnitBytes;
    const number = where & 0xffff;
    const segment = this.#segments.readable(number);
    if (start + length > segment.byteLength) throw new RangeError('it ends behind its segment');
    this.#segments.noteUse(number, exchange[at + 2]);
    return {
      key,
      payload: segment.subarray(start, start + length),
      tokens: facts & factBits.tokensMax,
      hasDecodedTokens: (facts & factBits.decoded) !== 0,
      tier: 'memory',
      crc: exchange[at + 4],
    };
  }

  #writableSegment(number: number): WritableSegment {
    try {
      return this.#segments.writable(number);
    } catch (error) {
      // As for what is read: the socket takes the payloads from now on.
      this.close();
      throw error;
    }
  }

  #ownerOf(namespace: Namespace, kind?: PayloadKind): number | undefined {
    const number = this.#view.names.find('namespace', namespace);
    return number === 0 ? undefined : ownerOf(number, kind);
  }
}

/** Where the record of a key begins in an exchange, by its place. */
function recordAt(place: number): number {
  return requestWords + place * recordWords;
}
