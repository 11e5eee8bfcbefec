import { assert } from '../base/assert.ts';
import { messageOf, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Platform } from '../platform/platform.ts';
import {
  clientBytes,
  clientWords,
  clientsMax,
  offsetUnitBytes,
  ownerMarks,
  skipMax,
  skipUnitBytes,
} from '../platform/shared-memory.ts';
import type { SharedFile, SharedMemory } from '../platform/shared-memory.ts';
import type { PayloadFacts } from './cache-entry.ts';
import { CommitRing } from './commit-ring.ts';
import { extentHeaderBytes } from './extent-header.ts';
import { indexBytesOf } from './index-file.ts';
import { largestLog2, SharedIndex } from './shared-index.ts';
import { factBits, fingerprintsMax, ownerOf, sharedPaths } from './shared-layout.ts';
import { LoanStamps } from './loan-stamps.ts';
import type { OutsideReaders } from './outside-readers.ts';
import { SharedSegments } from './shared-segments.ts';
import type { SlabBytes } from './slab-memory.ts';

export interface SharedTierParts {
  readonly memory: SharedMemory;
  readonly directory: string;
  readonly budgetBytes: number;
  readonly logger: Logger;
}

/**
 * The memory tier as other processes of the host see it: its memory lies in files, and an index says
 * what is where. Only this object writes the index. What it marks as held is in no log yet, and is
 * for whoever follows this store (memory-acceptance.ts).
 */
export class SharedTier implements OutsideReaders {
  readonly #memory: SharedMemory;
  readonly #directory: string;
  readonly #index: SharedIndex;
  readonly #clientsFile: SharedFile;
  readonly #clients: Uint8Array;
  readonly #segments: SharedSegments;
  readonly #stamps: LoanStamps;
  readonly #payload = new Uint32Array(7);
  #isClosed = false;

  /** Makes the files; the directory is there and empty. */
  constructor({ memory, directory, budgetBytes, logger }: SharedTierParts) {
    this.#memory = memory;
    this.#directory = directory;
    this.#segments = new SharedSegments(memory, directory, budgetBytes);
    this.#clientsFile = memory.create(sharedPaths.clients(directory), clientsMax * clientBytes);
    let stamps: LoanStamps | undefined;
    try {
      // Its memory is taken now, so that no client meets a full file system when it writes there.
      requireRoom(this.#clientsFile);
      this.#clients = this.#clientsFile.map();
      stamps = new LoanStamps(memory, sharedPaths.loans(directory));
      const { segmentBytes } = this.#segments;
      const mappedIndexes = (): ReadonlySet<number> => this.#mappedIndexes();
      this.#index = new SharedIndex({
        ...{ memory, directory, budgetBytes, segmentBytes, logger },
        mappedIndexes,
      });
      this.#stamps = stamps;
    } catch (error) {
      // The store goes on without: nothing of it stays where there is no room.
      stamps?.close();
      this.#clientsFile.close();
      for (const path of [sharedPaths.loans(directory), sharedPaths.clients(directory)])
        memory.remove(path);
      throw error;
    }
  }

  /** Memory for a slab; undefined when the system has none. */
  take(byteLength: number): SlabBytes | undefined {
    return this.#segments.take(byteLength);
  }

  /** As {@link take}, on another thread. */
  takeLater(byteLength: number): Promise<SlabBytes | undefined> {
    return this.#segments.takeLater(byteLength);
  }

  giveBack(memory: SlabBytes): void {
    this.#segments.giveBack(memory);
  }

  takeUse(offset: number, { buffer }: SlabBytes): boolean {
    return this.#segments.takeUse(offset, buffer);
  }

  /** Shows a payload that lies in memory of this tier and does not change any more. */
  publish(facts: PayloadFacts, extent: SlabBytes, payload: Uint8Array): void {
    if (this.#describe(facts, { extent, payload, marks: 0 }))
      this.#index.show(extent, facts.key, this.#payload);
  }

  /**
   * Shows a payload behind its header, marked as one that is in no log. `name` is its key, or a text like one that no
   * other payload of its kind and namespace has. False when there is no room for it in the index, when
   * something has that name, or its names or numbers do not fit; then it is not shown.
   *
   * It is never shown without the mark: whoever sees a block takes it for accepted (docs/decisions/0095).
   */
  publishHeld(facts: PayloadFacts, name: string, extent: SlabBytes): boolean {
    const shown = { extent, payload: behindHeader(facts, extent), marks: ownerMarks.held };
    return this.#describe(facts, shown) && this.#index.show(extent, name, this.#payload);
  }

  /**
   * Shows by its key what was shown by {@link publishHeld} under another name, at no moment under none. Nothing changes when
   * it has its key, or there is no room.
   */
  nameByKey(facts: PayloadFacts, extent: SlabBytes): void {
    const owner = this.#index.ownerOf(extent);
    if (owner === undefined) return;
    const shown = { extent, payload: behindHeader(facts, extent), marks: owner & allMarks };
    if (this.#describe(facts, shown)) this.#index.rename(extent, facts.key, this.#payload);
  }

  /** The object store has the payload, which is still in no log. */
  confirm(extent: SlabBytes): void {
    const owner = this.#index.ownerOf(extent);
    assert(owner !== undefined, 'what is confirmed is shown');
    this.#index.setOwner(extent, owner | ownerMarks.confirmed);
  }

  /** The log has the payload, or it is not wanted: whoever follows has no use for it here. */
  settle(extent: SlabBytes): void {
    const owner = this.#index.ownerOf(extent);
    if (owner !== undefined) this.#index.setOwner(extent, owner & ~allMarks);
    // So that nobody takes it for one that is held when its entry is being written as the process ends.
    extent.fill(0, 0, 4);
  }

  /** Where an extent lies in its files. */
  placeOf(extent: SlabBytes): { readonly segment: number; readonly offset: number } {
    const segment = this.#segments.numberOf(extent.buffer);
    assert(segment !== undefined, 'an extent lies in a segment');
    return { segment, offset: extent.byteOffset };
  }

  /**
   * Lets a client fill the extent by the number that this gives, until {@link endLoan}. The client pins it while it
   * writes, so what is given up by `retire` before it is done is not used again. Undefined when as much is lent as may be.
   */
  lend(extent: SlabBytes, salt: number): number | undefined {
    const number = this.#stamps.begin(salt);
    if (number !== undefined) this.#index.hide(extent);
    return number;
  }

  /** Whoever has not begun to fill what was lent under the number does not any more. */
  endLoan(number: number): void {
    this.#stamps.end(number);
  }

  /** A ring for one client, with so many bytes for what it leaves there. Undefined when the system refuses. */
  makeRing(number: number, dataBytes: number, seed: number): CommitRing | undefined {
    const path = sharedPaths.ring(this.#directory, number);
    try {
      return new CommitRing(this.#memory, { number, path }, { dataBytes, seed });
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      return undefined;
    }
  }

  /** As {@link SharedMemory.copy}. */
  copy(target: Uint8Array, source: Uint8Array): void {
    this.#memory.copy(target, source);
  }

  /** True when clients find what lies there. */
  shows(extent: SlabBytes): boolean {
    return this.#index.ownerOf(extent) !== undefined;
  }

  /** Hides a payload at once; its memory is given up by `retire` later. */
  hide(extent: SlabBytes): void {
    if (this.#index.has(extent)) this.#index.hide(extent);
  }

  retire(offset: number, { buffer }: SlabBytes): boolean {
    const place = { buffer, byteOffset: offset };
    if (!this.#index.has(place)) return false;
    this.#index.hide(place);
    const segment = this.#segments.numberOf(buffer);
    assert(segment !== undefined, 'what is shown lies in a segment');
    if (this.#isHeld(segment, offset / offsetUnitBytes)) return true;
    this.#index.forget(place);
    return false;
  }

  /** Hides everything for good. What clients have pinned stays as it is, being mapped by them. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#index.close();
    this.#segments.close();
    this.#stamps.close();
    this.#clientsFile.close();
  }

  /** Puts into `#payload` what the index is to say of it. False when that cannot be said. */
  #describe(
    facts: PayloadFacts,
    {
      extent,
      payload,
      marks,
    }: { readonly extent: SlabBytes; readonly payload: Uint8Array; readonly marks: number },
  ): boolean {
    if (this.#isClosed) return false;
    const owner = this.#ownerOf(facts);
    const fingerprint = this.#fingerprintOf(facts);
    const segment = this.#segments.numberOf(extent.buffer);
    if (owner === undefined || fingerprint === undefined || segment === undefined) return false;
    const skip = (payload.byteOffset - extent.byteOffset) / skipUnitBytes;
    const isFit = Number.isInteger(skip) && skip <= skipMax && facts.tokens <= factBits.tokensMax;
    if (!isFit) return false;
    assert(payload.buffer === extent.buffer && skip >= 0, 'a payload lies in its extent');
    const decoded = facts.hasDecodedTokens ? factBits.decoded : 0;
    const words = [segment, extent.byteOffset / offsetUnitBytes, payload.byteLength, facts.crc];
    const bits = facts.tokens | decoded | (fingerprint << factBits.fingerprintShift);
    this.#payload.set([...words, bits, owner | marks, skip]);
    // What lay there before was used by others.
    this.#segments.takeUse(extent.byteOffset, extent.buffer);
    return true;
  }

  /** True while a living client pins the place. The pins of dead ones are forgotten. */
  #isHeld(segment: number, offset: number): boolean {
    for (;;) {
      const client = this.#memory.index.holder(this.#clients, segment, offset);
      if (client < 0) return false;
      // The pins of this client last as long as its mapping, and nothing is used again any more.
      if (this.#isClosed) return true;
      const start = client * clientBytes;
      if (this.#clientsFile.isLocked(start, clientBytes)) return true;
      // A client that begins now takes the lock first, and pins nothing before it has it.
      if (!this.#clientsFile.lock(start, clientBytes)) return true;
      this.#memory.index.clearClient(this.#clients, client);
      this.#clientsFile.unlock(start, clientBytes);
    }
  }

  #mappedIndexes(): ReadonlySet<number> {
    const mapped = new Set<number>();
    const { buffer, byteOffset, byteLength } = this.#clients;
    const words = new Int32Array(buffer, byteOffset, byteLength / 4);
    for (let client = 0; client < clientsMax; client += 1) {
      const generation = Atomics.load(words, (client * clientBytes) / 4 + clientWords.oldestIndex);
      if (generation === 0 || mapped.has(generation)) continue;
      // A dead one has left the word.
      if (this.#clientsFile.isLocked(client * clientBytes, clientBytes)) mapped.add(generation);
    }
    return mapped;
  }

  #ownerOf({ namespace, kind }: PayloadFacts): number | undefined {
    const number = this.#index.addName('namespace', namespace);
    return number === 0 ? undefined : ownerOf(number, kind);
  }

  #fingerprintOf({ fingerprint }: PayloadFacts): number | undefined {
    if (fingerprint === undefined || /^0*$/.test(fingerprint)) return 0;
    const number = this.#index.addName('fingerprint', fingerprint);
    return number === 0 || number >= fingerprintsMax ? undefined : number;
  }
}

const allMarks = ownerMarks.held | ownerMarks.confirmed;

/** The payload of an extent that begins with its header. */
function behindHeader({ length }: PayloadFacts, extent: SlabBytes): Uint8Array {
  return extent.subarray(extentHeaderBytes, extentHeaderBytes + length);
}

/** What is logged when a store has no shared memory, with the reason as `why`. */
export const sharedMemoryRefused = 'shared memory is not used: clients are served by the socket';

/**
 * Makes the shared files in `<parent>/<name>`, after it removed what dead stores left there. Undefined
 * when the system has no such memory or too little: then the reason was logged, and the store keeps its
 * memory to itself.
 */
export async function openSharedTier(
  platform: Platform,
  directory: string,
  budgetBytes: number,
  logger: Logger,
): Promise<SharedTier | undefined> {
  const { files, sharedMemory } = platform;
  const refuse = (why: string): undefined => {
    logger.info(sharedMemoryRefused, { directory, why });
  };
  if (sharedMemory === undefined) return refuse('it needs native code, on Linux');
  // The largest that it may become.
  const indexBytes = indexBytesOf(largestLog2(budgetBytes));
  try {
    await files.makeDirectory(directory);
    const free = await files.freeBytes(directory);
    const needed = budgetBytes + indexBytes + clientsMax * clientBytes;
    if (free < needed)
      return refuse(`it has ${free} bytes free, and the memory tier takes ${needed}`);
    return new SharedTier({ memory: sharedMemory, directory, budgetBytes, logger });
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return refuse(messageOf(error));
  }
}

/** Somebody else may have taken what was free a moment ago. */
function requireRoom(file: SharedFile): void {
  if (file.reserve(0, file.byteLength)) return;
  throw Object.assign(new Error('there is no room for shared memory'), { code: 'ENOSPC' });
}
