import { assert } from '../base/assert.ts';
import { messageOf, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { ownerMarks } from '../platform/shared-memory.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import { IndexFile, indexBytesOf } from './index-file.ts';
import { sharedPaths } from './shared-layout.ts';
import type { NameKind } from './shared-names.ts';
import { ShownPlaces } from './shown-places.ts';
import type { Place } from './shown-places.ts';

export interface SharedIndexParts {
  readonly memory: SharedMemory;
  readonly directory: string;
  /** Of the memory tier: its extents are never more than half of the entries of the largest index. */
  readonly budgetBytes: number;
  readonly segmentBytes: number;
  readonly logger: Logger;
  /** The oldest index that each living client has mapped, by its generation. */
  mappedIndexes(): ReadonlySet<number>;
}

/** An index of 2 GiB: Node 20 maps 4 GiB at most. */
const entriesLog2Max = 25;
/** A mebibyte, or less for a tier that never has so many extents. */
const entriesLog2First = 14;
const entriesLog2Min = 10;
/** Four times as large where it grows: 500,000 payloads are taken along once in three instead of once each. */
const entriesLog2Spare = 1;

/** A superseded index is built anew for no less than this part of its entries that were used and show nothing. */
const deletedShareMin = 1 / 8;
/** Used entries, those that show nothing included, beyond which an index is built anew (docs/decisions/0100). */
const usedShareMax = 3 / 4;
/** Entries that a build takes along with each payload that is shown meanwhile: some microseconds. */
const carriedPerStep = 16;
/** What superseded indexes may keep that clients have mapped, in indexes of the largest size. */
const oldIndexesMax = 2;
/** Payloads that are shown before a build is tried again which found no room, by this part of the entries. */
const restShare = 1 / 16;

/**
 * What is where in the memory tier, as other processes see it: one file, in which entries are found by their keys.
 *
 * Entries that were used and show nothing lengthen every search, and an index of which more than half shows something
 * finds no place for some payloads. Before that another one is built beside it, in steps that come with the
 * payloads which are shown meanwhile, so none takes long. Until it has all, only the old one is read, by clients and by
 * whoever follows a store that died. Then it takes the old one's name, and the old one says that it is superseded; its
 * memory goes when the last client has unmapped it (docs/decisions/0100, 0112).
 */
export class SharedIndex {
  readonly #parts: SharedIndexParts;
  #file: IndexFile;
  /** Entry of what was shown at each place; -1 when it is hidden and perhaps still read. */
  #places = new ShownPlaces();
  #build: Build | undefined;
  /** Superseded, and perhaps still mapped by a client. */
  #old: readonly Superseded[] = [];
  #made = 0;
  /** Payloads to be shown before the next build is tried. */
  #restPayloads = 0;

  /** Makes the file. Fails with `ENOSPC` when there is no memory for it. */
  constructor(parts: SharedIndexParts) {
    this.#parts = parts;
    // Under another name: what has its own is whole, for whoever maps it.
    const path = sharedPaths.nextIndex(parts.directory);
    this.#file = this.#makeFile(path, Math.min(entriesLog2First, largestLog2(parts.budgetBytes)));
    while (!this.#file.isWhole) {
      if (this.#file.takeMemory()) continue;
      this.#file.remove();
      throw Object.assign(new Error('there is no room for shared memory'), { code: 'ENOSPC' });
    }
    this.#file.open();
    this.#file.takeName(sharedPaths.index(parts.directory));
  }

  /** The number of a name, which is added when it is not there; 0 when there is no room. */
  addName(kind: NameKind, text: string): number {
    const number = this.#file.names.add(kind, text);
    if (this.#build?.file !== undefined) {
      const other = this.#build.file.names.add(kind, text);
      assert(other === number, 'a name has one number');
    }
    return number;
  }

  /** Shows a payload at a place of its own, as {@link IndexFile.publish}. False when there is no room for it. */
  show(place: Place, name: string, payload: Uint32Array): boolean {
    const entry = this.#file.publish(name, payload);
    if (entry >= 0) {
      this.#places.set(place, entry);
      this.#carry(place, entry);
    }
    this.#step();
    return entry >= 0;
  }

  /** Shows under another name what is shown at a place, at no moment under none. Nothing changes when there is no room. */
  rename(place: Place, name: string, payload: Uint32Array): void {
    const before = this.#places.get(place) ?? -1;
    assert(before >= 0, 'what gets another name is shown');
    const entry = this.#file.publish(name, payload);
    if (entry < 0) return;
    this.#file.retire(before);
    this.#places.set(place, entry);
    const other = this.#build?.places.get(place) ?? -1;
    if (other >= 0) {
      this.#build?.file?.retire(other);
      this.#build?.places.set(place, -1);
    }
    this.#carry(place, entry);
  }

  /** Something is shown there, or was and may still be read. */
  has(place: Place): boolean {
    return this.#places.get(place) !== undefined;
  }

  /** Nothing is shown there any more, and somebody may still read it, or fill it. */
  hide(place: Place): void {
    const entry = this.#places.get(place) ?? -1;
    if (entry >= 0) this.#file.retire(entry);
    this.#places.set(place, -1);
    if (this.#build === undefined) return;
    const other = this.#build.places.get(place) ?? -1;
    if (other >= 0) this.#build.file?.retire(other);
    this.#build.places.set(place, -1);
  }

  /** Nobody reads what was hidden there. */
  forget(place: Place): void {
    assert(this.#places.get(place) === -1, 'what is forgotten is hidden');
    this.#places.delete(place);
    this.#build?.places.delete(place);
  }

  /** Whose the payload is that is shown there, with its marks; undefined when none is. */
  ownerOf(place: Place): number | undefined {
    const entry = this.#places.get(place) ?? -1;
    return entry < 0 ? undefined : this.#file.ownerOf(entry);
  }

  /** Changes the marks of what is shown there. */
  setOwner(place: Place, owner: number): void {
    const entry = this.#places.get(place) ?? -1;
    assert(entry >= 0, 'what is marked is shown');
    this.#file.setOwner(entry, owner);
    const other = this.#build?.places.get(place) ?? -1;
    if (other >= 0) this.#build?.file?.setOwner(other, owner);
  }

  close(): void {
    this.#dropBuild();
    this.#file.close();
  }

  /** A piece of the work that is due. */
  #step(): void {
    if (this.#build !== undefined) this.#advance(this.#build);
    else if (this.#restPayloads > 0) this.#restPayloads -= 1;
    else if (this.#isFull) this.#begin();
  }

  /** Whether one more may be superseded: what clients keep of old ones is bounded, too. */
  get #mayBeSuperseded(): boolean {
    const mapped = this.#old.length === 0 ? undefined : this.#parts.mappedIndexes();
    this.#old = this.#old.filter(({ generation }) => mapped?.has(generation) === true);
    const keptBytes = this.#old.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const mostBytes = oldIndexesMax * indexBytesOf(largestLog2(this.#parts.budgetBytes));
    return keptBytes + this.#file.byteLength <= mostBytes;
  }

  get #isFull(): boolean {
    const { capacity, live, used } = this.#file;
    if (2 ** this.#nextLog2 > capacity) return true;
    return used > usedShareMax * capacity && used - live > deletedShareMin * capacity;
  }

  /** Of an index of which a half is free; where that is not enough any more, of one of which most is. */
  get #nextLog2(): number {
    const { capacity, live } = this.#file;
    const least = Math.ceil(Math.log2(Math.max(1, 2 * live)));
    const wanted = 2 * live > capacity ? least + entriesLog2Spare : least;
    return Math.min(largestLog2(this.#parts.budgetBytes), Math.max(entriesLog2First, wanted));
  }

  #makeFile(path: string, entriesLog2: number): IndexFile {
    const { memory, segmentBytes, budgetBytes } = this.#parts;
    this.#made += 1;
    const pinnedBytesMax = Math.floor(budgetBytes * limits.pinnedByClientShare);
    const generation = this.#made;
    return new IndexFile({ memory, path, entriesLog2, segmentBytes, generation, pinnedBytesMax });
  }

  #begin(): void {
    const { memory, directory } = this.#parts;
    const path = sharedPaths.nextIndex(directory);
    if (!this.#mayBeSuperseded) return this.#giveUp('clients that make no calls keep old ones');
    this.#try(() => {
      memory.remove(path);
      const file = this.#makeFile(path, this.#nextLog2);
      this.#build = { made: file, file: undefined, places: new ShownPlaces(), left: undefined };
    });
  }

  #advance(build: Build): void {
    this.#try(() => {
      const { made } = build;
      if (!made.isWhole) {
        if (!made.takeMemory()) this.#giveUp('there is no memory for it');
        return;
      }
      if (build.file === undefined) {
        made.open();
        made.takeNames(this.#file);
        build.file = made;
        build.left = this.#places.all();
      }
      for (let count = 0; count < carriedPerStep && this.#build === build; count += 1) {
        const next = build.left?.next();
        if (next === undefined || next.done === true) return this.#finish(made, build.places);
        this.#carry(...next.value);
      }
    });
  }

  /** Takes along what is shown or hidden at a place, unless it was before. */
  #carry(place: Place, entry: number): void {
    const { file, places } = this.#build ?? {};
    if (file === undefined || places === undefined) return;
    if ((places.get(place) ?? -1) >= 0) return;
    const other = entry < 0 ? -1 : file.carry(this.#file, entry);
    // What is shown nowhere is asked for at the store; what is held whoever follows must find.
    const isRefused = entry >= 0 && other < 0;
    if (isRefused && (this.#file.ownerOf(entry) & ownerMarks.held) !== 0)
      this.#giveUp('a payload that is in no log found no place in it');
    else places.set(place, other);
  }

  /** The new one has all that the old one shows. */
  #finish(file: IndexFile, places: ShownPlaces): void {
    const { directory, logger } = this.#parts;
    file.takeName(sharedPaths.index(directory));
    // Nothing may fail, or be shown or hidden, before everybody has turned to the new one.
    const old = this.#file;
    old.supersede();
    this.#file = file;
    this.#places = places;
    this.#old = [...this.#old, { generation: old.generation, byteLength: old.byteLength }];
    this.#build = undefined;
    logger.info('shared memory: its index was built anew', {
      ...{ directory, entries: file.capacity, before: old.capacity },
      ...{ shown: file.live, deleted: old.used - old.live },
    });
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      this.#giveUp(messageOf(error));
    }
  }

  /** The old one serves on; what finds no place in it is had by the socket. */
  #giveUp(why: string): void {
    const { directory, logger } = this.#parts;
    this.#dropBuild();
    this.#restPayloads = Math.ceil(restShare * this.#file.capacity);
    logger.info('shared memory: its index cannot be built anew for now', { directory, why });
  }

  #dropBuild(): void {
    const build = this.#build;
    this.#build = undefined;
    build?.made.remove();
  }
}

/** An index that is the store's no more. */
interface Superseded {
  readonly generation: number;
  readonly byteLength: number;
}

/** An index that is built beside the one that serves. */
interface Build {
  readonly made: IndexFile;
  /** The same, once something can be shown in it. */
  file: IndexFile | undefined;
  readonly places: ShownPlaces;
  /** What has to be taken along. */
  left: Iterator<readonly [Place, number]> | undefined;
}

/** Twice as many entries as extents, so that a search is short; a power of two. */
export function largestLog2(budgetBytes: number): number {
  const extents = Math.ceil(budgetBytes / limits.extentBytesUnit);
  return Math.min(entriesLog2Max, Math.max(entriesLog2Min, Math.ceil(Math.log2(2 * extents))));
}
