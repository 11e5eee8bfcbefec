import { assert } from '../base/assert.ts';
import { messageOf, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import type { Platform } from '../platform/platform.ts';
import {
  clientBytes,
  clientsMax,
  entriesStart,
  entryBytes,
  headerWords,
  offsetUnitBytes,
  skipMax,
  skipUnitBytes,
} from '../platform/shared-memory.ts';
import type { SharedFile, SharedIndexCode, SharedMemory } from '../platform/shared-memory.ts';
import type { PayloadFacts } from './cache-entry.ts';
import { factBits, fingerprintsMax, ownerOf, sharedPaths } from './shared-layout.ts';
import { SharedNames } from './shared-names.ts';
import { SharedSegments } from './shared-segments.ts';
import type { SlabBytes } from './slab-memory.ts';
import type { OutsideReaders } from './slab-memory-tier.ts';

export interface SharedTierParts {
  readonly memory: SharedMemory;
  readonly directory: string;
  readonly budgetBytes: number;
}

/**
 * The memory tier as other processes of the host see it: its memory lies in files, and an index says
 * what is where. Only this object writes the index. Acceptance does not rest on it: what it holds is
 * in the log or the object store too.
 */
export class SharedTier implements OutsideReaders {
  readonly #index: SharedIndexCode;
  readonly #indexFile: SharedFile;
  readonly #indexMemory: Uint8Array;
  readonly #clientsFile: SharedFile;
  readonly #clients: Uint8Array;
  readonly #names: SharedNames;
  readonly #segments: SharedSegments;
  /** Entry of what was shown at each place; -1 when it is hidden and perhaps still read. */
  readonly #shown = new Map<SlabBytes['buffer'], Map<number, number>>();
  readonly #payload = new Uint32Array(7);
  readonly #endLife: () => void;
  #isClosed = false;

  /** Makes the files; the directory is there and empty. */
  constructor({ memory, directory, budgetBytes }: SharedTierParts) {
    this.#index = memory.index;
    const capacity = capacityFor(budgetBytes);
    this.#segments = new SharedSegments(memory, directory, budgetBytes);
    this.#clientsFile = memory.create(sharedPaths.clients(directory), clientsMax * clientBytes);
    // Its memory is taken now, so that no client meets a full file system when it writes there.
    requireRoom(this.#clientsFile);
    this.#clients = this.#clientsFile.map();
    const bytes = entriesStart + capacity * entryBytes;
    this.#indexFile = memory.create(sharedPaths.index(directory), bytes);
    assert(this.#indexFile.lock(0, 1), 'a new index is nobody else’s');
    requireRoom(this.#indexFile);
    this.#indexMemory = this.#indexFile.map();
    this.#index.create(this.#indexMemory, Math.log2(capacity), this.#segments.segmentBytes);
    this.#names = new SharedNames(this.#indexMemory);
    this.#endLife = this.#indexFile.showLife();
  }

  /** Memory for a slab; undefined when the system has none. */
  take(byteLength: number): SlabBytes | undefined {
    return this.#segments.take(byteLength);
  }

  giveBack(memory: SlabBytes): void {
    this.#segments.giveBack(memory);
  }

  /** Shows a payload that lies in memory of this tier and does not change any more. */
  publish(facts: PayloadFacts, extent: SlabBytes, payload: Uint8Array): void {
    // Only blocks are looked for; a raw tail changes under its key.
    if (facts.kind !== 'block' || this.#isClosed) return;
    const owner = this.#ownerOf(facts);
    const fingerprint = this.#fingerprintOf(facts);
    const segment = this.#segments.numberOf(extent.buffer);
    if (owner === undefined || fingerprint === undefined || segment === undefined) return;
    const skip = (payload.byteOffset - extent.byteOffset) / skipUnitBytes;
    if (!Number.isInteger(skip) || skip > skipMax || facts.tokens > factBits.tokensMax) return;
    assert(payload.buffer === extent.buffer && skip >= 0, 'a payload lies in its extent');
    const decoded = facts.hasDecodedTokens ? factBits.decoded : 0;
    const words = [segment, extent.byteOffset / offsetUnitBytes, payload.byteLength, facts.crc];
    const bits = facts.tokens | decoded | (fingerprint << factBits.fingerprintShift);
    this.#payload.set([...words, bits, owner, skip]);
    const entry = this.#index.publish(this.#indexMemory, facts.key, this.#payload);
    if (entry >= 0) this.#shownIn(extent.buffer).set(extent.byteOffset, entry);
  }

  /** Hides a payload at once; its memory is given up by `retire` later. */
  hide(extent: SlabBytes): void {
    const shown = this.#shown.get(extent.buffer);
    const entry = shown?.get(extent.byteOffset);
    if (shown === undefined || entry === undefined || entry < 0) return;
    this.#index.retire(this.#indexMemory, entry);
    shown.set(extent.byteOffset, -1);
  }

  retire(offset: number, { buffer }: SlabBytes): boolean {
    const shown = this.#shown.get(buffer);
    const entry = shown?.get(offset);
    if (shown === undefined || entry === undefined) return false;
    if (entry >= 0) this.#index.retire(this.#indexMemory, entry);
    const segment = this.#segments.numberOf(buffer);
    assert(segment !== undefined, 'what is shown lies in a segment');
    shown.set(offset, -1);
    if (this.#isHeld(segment, offset / offsetUnitBytes)) return true;
    shown.delete(offset);
    return false;
  }

  /** Hides everything for good. What clients have pinned stays as it is, being mapped by them. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const header = new Int32Array(this.#indexMemory.buffer, this.#indexMemory.byteOffset, 8);
    Atomics.store(header, headerWords.isClosed, 1);
    this.#endLife();
    this.#segments.close();
    this.#clientsFile.close();
    // What is mapped keeps the file open, and so its lock.
    this.#indexFile.unlock(0, 1);
    this.#indexFile.close();
  }

  /** True while a living client pins the place. The pins of dead ones are forgotten. */
  #isHeld(segment: number, offset: number): boolean {
    for (;;) {
      const client = this.#index.holder(this.#clients, segment, offset);
      if (client < 0) return false;
      // The pins of this client last as long as its mapping, and nothing is used again any more.
      if (this.#isClosed) return true;
      const start = client * clientBytes;
      if (this.#clientsFile.isLocked(start, clientBytes)) return true;
      // A client that begins now takes the lock first, and pins nothing before it has it.
      if (!this.#clientsFile.lock(start, clientBytes)) return true;
      this.#index.clearClient(this.#clients, client);
      this.#clientsFile.unlock(start, clientBytes);
    }
  }

  #ownerOf({ namespace }: PayloadFacts): number | undefined {
    const number = this.#names.add('namespace', namespace);
    return number === 0 ? undefined : ownerOf(number);
  }

  #fingerprintOf({ fingerprint }: PayloadFacts): number | undefined {
    if (fingerprint === undefined || /^0*$/.test(fingerprint)) return 0;
    const number = this.#names.add('fingerprint', fingerprint);
    return number === 0 || number >= fingerprintsMax ? undefined : number;
  }

  #shownIn(buffer: SlabBytes['buffer']): Map<number, number> {
    let shown = this.#shown.get(buffer);
    if (shown === undefined) this.#shown.set(buffer, (shown = new Map()));
    return shown;
  }
}

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
    logger.info('shared memory is not used: clients are served by the socket', { directory, why });
  };
  if (sharedMemory === undefined) return refuse('it needs native code, on Linux');
  const indexBytes = entriesStart + capacityFor(budgetBytes) * entryBytes;
  try {
    await files.makeDirectory(directory);
    const free = await files.freeBytes(directory);
    const needed = budgetBytes + indexBytes + clientsMax * clientBytes;
    if (free < needed)
      return refuse(`it has ${free} bytes free, and the memory tier takes ${needed}`);
    return new SharedTier({ memory: sharedMemory, directory, budgetBytes });
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

/** An index of 2 GiB: Node 20 maps 4 GiB at most. */
const entriesLog2Max = 25;

/** Twice as many entries as extents, so that a probe is short; a power of two. */
function capacityFor(budgetBytes: number): number {
  const extents = Math.ceil(budgetBytes / limits.extentBytesUnit);
  return 2 ** Math.min(entriesLog2Max, Math.max(10, Math.ceil(Math.log2(2 * extents))));
}
