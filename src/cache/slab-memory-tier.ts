import { assert } from '../base/assert.ts';
import { processMemory } from '../platform/payload-memory.ts';
import type { Extent } from './extent.ts';
import type { MemoryTier, MemoryUsage } from './memory-tier.ts';
import { noReaders } from './outside-readers.ts';
import type { OutsideReaders } from './outside-readers.ts';
import { SlabList } from './slab-list.ts';
import { SlabMemory, roundDown } from './slab-memory.ts';
import type { SlabBytes, TakeMemory, TakeMemoryLater } from './slab-memory.ts';
import { extentBytesFor, fits, SizeClass, Slab, SlabExtent } from './slab.ts';
import type { ExtentEvents, Slot } from './slab.ts';

/**
 * A memory tier in slabs of shared memory, which worker threads can fill too.
 *
 * Lengths are rounded up ({@link extentBytesFor}); every rounded length is a class with slabs of its
 * own. A class gets memory from the first of these that gives any:
 *
 * 1. its extents that were freed, the last one first: its pages are warm;
 * 2. a new slab, while the sum of all slabs stays within the budget. A class begins with a slab for
 *    one extent and doubles: the tails of conversations come in hundreds of lengths, and none of
 *    these must cost a whole slab;
 * 3. the slab that rested longest, if it belongs to another class and is empty, or was last used
 *    more than {@link muchOlder} times as long ago as any evictable extent of this class. So a class that keeps
 *    evicting its own fresh extents grows at the cost of old data elsewhere, and two classes in
 *    equal use leave each other alone;
 * 4. its own extent that was not used for longest: of those used once, unless they are few. What clients in other processes have
 *    used is told by them alone, so it is asked about here, and with 3. and 5.;
 * 5. slabs of other classes without pinned extents, the longest resting first.
 *
 * A slab taken from another class keeps its memory, and so its warm pages, when little of it would
 * be lost; otherwise the memory goes back to the system, at the next garbage collection.
 */
export class SlabMemoryTier implements MemoryTier {
  readonly #memory: SlabMemory;
  readonly #classes = new Map<number, SizeClass>();
  /** Slabs without pinned extents: empty ones, then the others in order of their last use. */
  readonly #idle = new SlabList<Slab>();
  #idleBytes = 0;
  /** Counts makings, touches and last unpins; ages are differences of it. */
  #uses = 0;
  #entries = 0;
  #bytes = 0;
  #evictions = 0;
  #pinnedBytes = 0;
  readonly #readers: OutsideReaders;
  /** Told when memory was taken for extents. */
  onGrowth: (() => void) | undefined;
  /** Slots whose extent has ended and whose memory another process still reads. */
  #limbo: Slot[] = [];
  readonly #events: ExtentEvents = {
    pinned: (slot, byteLength) => {
      slot.slab.sizeClass.removeEvictable(slot);
      if (slot.extent !== undefined) slot.extent.isUsedAgain = true;
      this.#hold(slot, byteLength);
    },
    unpinned: (slot, byteLength) => this.#letGo(slot, byteLength),
  };

  /** `takeMemory` is where another kind of shared memory is put in. */
  constructor(
    budgetBytes: number,
    takeMemory: TakeMemory = (byteLength) => processMemory.take(byteLength),
    readers: OutsideReaders = noReaders,
    takeMemoryLater?: TakeMemoryLater,
  ) {
    this.#readers = readers;
    const giveBack = (memory: SlabBytes): void => readers.giveBack(memory);
    this.#memory = new SlabMemory(budgetBytes, takeMemory, giveBack, takeMemoryLater);
  }

  get usage(): MemoryUsage {
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      slabBytes: this.#memory.takenBytes,
      budgetBytes: this.#memory.budgetBytes,
      evictions: this.#evictions,
      pinnedBytes: this.#pinnedBytes,
    };
  }

  allocate(byteLength: number): Extent | undefined {
    assert(Number.isSafeInteger(byteLength) && byteLength >= 0, 'an extent has a length');
    const extentBytes = extentBytesFor(byteLength);
    this.#memory.noteWant();
    if (extentBytes > this.#memory.ceilingBytes) return undefined;
    const sizeClass = this.#classOf(extentBytes);
    if (sizeClass.free.newest === undefined) this.#makeFree(sizeClass);
    const slot = sizeClass.free.newest;
    if (slot === undefined) {
      this.#forgetClassWithoutSlabs(sizeClass);
      return undefined;
    }
    assert(slot.extent === undefined, 'a free slot holds no extent');
    sizeClass.free.remove(slot);
    const extent = new SlabExtent(slot, byteLength, this.#events);
    slot.extent = extent;
    slot.slab.usedSlots += 1;
    this.#hold(slot, byteLength);
    return extent;
  }

  makeResident(extent: Extent, onEvict: () => void, isUsedAgain = false): void {
    const own = this.#own(extent);
    assert(own.isPinned && own.onEvict === undefined, 'an extent is made resident once');
    own.onEvict = onEvict;
    own.isUsedAgain = isUsedAgain;
    this.#entries += 1;
    this.#bytes += own.byteLength;
  }

  touch(extent: Extent): void {
    const own = this.#own(extent);
    if (own.isPinned) return;
    const { slot } = own;
    const { slab } = slot;
    slab.sizeClass.removeEvictable(slot);
    own.isUsedAgain = true;
    this.#use(slot);
    slab.sizeClass.addEvictable(slot);
    if (slab.pinnedSlots > 0) return;
    this.#idle.remove(slab);
    this.#idle.addNewest(slab);
  }

  remove(extent: Extent): void {
    const own = this.#own(extent);
    assert(own.onEvict !== undefined, 'only a resident extent can be removed');
    this.#leaveResidents(own);
    if (own.isPinned) return;
    own.slot.slab.sizeClass.removeEvictable(own.slot);
    this.#free(own.slot);
  }

  /**
   * Makes slabs until the tier has that many bytes, and touches every page of them: the first touch
   * of memory costs more than copying into it (memory-tier.bench.ts). Takes long; a process with
   * other work calls `planPrefault` and then `prefaultStep` now and again.
   */
  prefault(byteLength: number): void {
    assert(!this.#memory.isTakenLater, 'no other thread makes the memory');
    this.planPrefault(byteLength);
    while (this.prefaultStep());
  }

  /** Sets up to how many bytes `prefaultStep` makes slabs. */
  planPrefault(byteLength: number): void {
    this.#memory.planPrefault(byteLength);
  }

  /** What makes memory ahead of need. */
  get source(): Pick<SlabMemory, 'isTakenLater' | 'aheadBytes' | 'planAhead' | 'prefaultLater'> {
    return this.#memory;
  }

  /** As {@link SlabMemory.prefaultStep}. */
  prefaultStep(): boolean {
    return this.#memory.prefaultStep();
  }

  #own(extent: Extent): SlabExtent {
    assert(
      extent instanceof SlabExtent && extent.events === this.#events,
      'an extent belongs to the tier that made it',
    );
    assert(extent.slot.extent === extent, 'a slot and its extent know each other');
    return extent;
  }

  #classOf(extentBytes: number): SizeClass {
    let sizeClass = this.#classes.get(extentBytes);
    if (sizeClass === undefined) {
      sizeClass = new SizeClass(extentBytes);
      this.#classes.set(extentBytes, sizeClass);
    }
    return sizeClass;
  }

  #forgetClassWithoutSlabs(sizeClass: SizeClass): void {
    if (sizeClass.slabBytes === 0) this.#classes.delete(sizeClass.extentBytes);
  }

  // The life of an extent in its slot.

  /** The slot's extent, in no list now, is pinned. */
  #hold(slot: Slot, byteLength: number): void {
    this.#pinnedBytes += byteLength;
    this.#keepFromIdle(slot.slab);
  }

  /** One slot more of the slab is pinned. */
  #keepFromIdle(slab: Slab): void {
    slab.pinnedSlots += 1;
    if (slab.pinnedSlots > 1) return;
    this.#idle.remove(slab);
    this.#idleBytes -= slab.byteLength;
  }

  /** No slot of the slab is pinned any more. */
  #addIdle(slab: Slab): void {
    this.#idle.addNewest(slab);
    this.#idleBytes += slab.byteLength;
  }

  /** The slot's extent is no longer pinned: it stays as a resident, or ends. */
  #letGo(slot: Slot, byteLength: number): void {
    const { slab, extent } = slot;
    assert(extent !== undefined && slab.pinnedSlots > 0, 'what is unpinned was pinned');
    this.#pinnedBytes -= byteLength;
    slab.pinnedSlots -= 1;
    this.#use(slot);
    if (slab.pinnedSlots === 0) this.#addIdle(slab);
    if (extent.onEvict === undefined) this.#free(slot);
    else slab.sizeClass.addEvictable(slot);
  }

  #use(slot: Slot): void {
    this.#uses += 1;
    slot.lastUse = this.#uses;
    slot.slab.lastUse = this.#uses;
  }

  #leaveResidents(extent: SlabExtent): void {
    extent.onEvict = undefined;
    this.#entries -= 1;
    this.#bytes -= extent.byteLength;
  }

  /** Ends the slot's extent, which is neither pinned nor resident nor in a list. */
  #free(slot: Slot): void {
    const { slab, extent } = slot;
    assert(extent !== undefined && extent.onEvict === undefined, 'what is freed was in use');
    extent.end();
    slot.extent = undefined;
    if (this.#readers.retire(slab.memory.byteOffset + slot.offset, slab.memory)) {
      this.#limbo.push(slot);
      this.#keepFromIdle(slab);
    } else this.#vacate(slot);
  }

  /** Frees what nobody outside reads any more. True when there was some. */
  #sweepLimbo(): boolean {
    const before = this.#limbo;
    if (before.length === 0) return false;
    this.#limbo = [];
    for (const slot of before) {
      const { slab } = slot;
      if (this.#readers.retire(slab.memory.byteOffset + slot.offset, slab.memory)) {
        this.#limbo.push(slot);
        continue;
      }
      slab.pinnedSlots -= 1;
      if (slab.pinnedSlots === 0) this.#addIdle(slab);
      this.#vacate(slot);
    }
    return this.#limbo.length < before.length;
  }

  /** The slot holds nothing from now on, and nobody reads what it held. */
  #vacate(slot: Slot): void {
    const { slab } = slot;
    slab.sizeClass.free.addNewest(slot);
    slab.usedSlots -= 1;
    if (slab.usedSlots > 0) return;
    assert(slab.pinnedSlots === 0, 'nothing is pinned in an empty slab');
    this.#idle.remove(slab);
    this.#idle.addOldest(slab);
  }

  /** Ends a resident that nobody pins. The owner is told last, when everything is consistent. */
  #evict(slot: Slot): void {
    const { extent } = slot;
    const onEvict = extent?.onEvict;
    assert(extent !== undefined && onEvict !== undefined, 'only a resident can be evicted');
    assert(!extent.isPinned, 'what is pinned is never evicted');
    slot.slab.sizeClass.removeEvictable(slot);
    this.#leaveResidents(extent);
    this.#free(slot);
    this.#evictions += 1;
    onEvict();
  }

  // Where memory comes from.

  /** Gives the class a free slot by the steps of the header, unless nothing can. */
  #makeFree(sizeClass: SizeClass): void {
    // Once: what is freed below is asked about as it is freed, and the readers are other processes.
    if (sizeClass.free.newest === undefined) this.#sweepLimbo();
    // A millisecond; and each was read for that.
    let sparesLeft = 1024;
    while (sizeClass.free.newest === undefined) {
      if (this.#grow(sizeClass)) continue;
      if (this.#memory.dropBlank()) continue;
      const slab = this.#idle.oldest;
      const own = sizeClass.victim;
      const takesSlab =
        own === undefined ? this.#hasRoomFor(sizeClass) : this.#isMuchOlder(slab, sizeClass);
      const victim = takesSlab ? slab : own;
      if (victim !== undefined) sparesLeft -= this.#take(victim, sizeClass, sparesLeft);
      // Readers may have let go of what was freed meanwhile.
      else if (!this.#sweepLimbo()) return;
    }
  }

  /** Gives up the victim, unless some of it was used and victims may still be spared: then 1 is. */
  #take(victim: Slab | Slot, sizeClass: SizeClass, sparesLeft: number): 0 | 1 {
    const slots = victim instanceof Slab ? victim.slots : [victim];
    if (sparesLeft > 0 && this.#spare(slots)) return 1;
    if (victim instanceof Slab) this.#reclaim(victim, sizeClass);
    else this.#evict(victim);
    return 0;
  }

  /** Notes what was used from outside as a use of now. True when there was some: then others are older. */
  #spare(victims: readonly Slot[]): boolean {
    let isUsed = false;
    for (const { extent, offset, slab } of victims) {
      if (extent === undefined) continue;
      if (!this.#readers.takeUse(slab.memory.byteOffset + offset, slab.memory)) continue;
      this.touch(extent);
      isUsed = true;
    }
    return isUsed;
  }

  /** Else no data is given up for a request that then fails. */
  #hasRoomFor({ extentBytes }: SizeClass): boolean {
    return this.#memory.roomBytes + this.#idleBytes >= extentBytes;
  }

  /** Never true of the class's own slab: none has rested longer than each of its extents. */
  #isMuchOlder(slab: Slab | undefined, { longestUnused }: SizeClass): boolean {
    if (slab === undefined) return false;
    if (slab.usedSlots === 0) return true;
    if (longestUnused === undefined) return false;
    return this.#uses - slab.lastUse > muchOlder * (this.#uses - longestUnused.lastUse);
  }

  /** Adds a slab to the class: one made ahead of need, or new memory within the budget. */
  #grow(sizeClass: SizeClass): boolean {
    const wantedBytes = this.#nextSlabBytes(sizeClass);
    const mostBytes = Math.max(wantedBytes, (blankSlotsMax / 2) * sizeClass.extentBytes);
    const blank = this.#memory.takeBlank((memory) => fits(memory, sizeClass, mostBytes));
    if (blank !== undefined) {
      this.#addSlab(blank, sizeClass);
      this.onGrowth?.();
      return true;
    }
    const atOnceBytes = Math.max(this.#memory.atOnceBytesMax, sizeClass.extentBytes);
    const newBytes = Math.min(wantedBytes, atOnceBytes, this.#memory.roomBytes);
    const byteLength = roundDown(newBytes, sizeClass.extentBytes);
    const memory = byteLength > 0 ? this.#memory.take(byteLength) : undefined;
    if (memory === undefined) return false;
    this.#addSlab(memory, sizeClass);
    this.onGrowth?.();
    return true;
  }

  /** How long the next slab of the class should be: as long as all it has, within bounds. */
  #nextSlabBytes({ extentBytes, slabBytes }: SizeClass): number {
    if (extentBytes > this.#memory.slabBytesMax / 4) return extentBytes;
    return Math.max(extentBytes, Math.min(slabBytes, this.#memory.slabBytesMax));
  }

  #addSlab(memory: SlabBytes, sizeClass: SizeClass): void {
    const slab = new Slab(memory, sizeClass);
    for (const slot of slab.slots) sizeClass.free.addOldest(slot);
    sizeClass.slabBytes += slab.byteLength;
    this.#idle.addOldest(slab);
    this.#idleBytes += slab.byteLength;
  }

  /** Evicts what is in the idle slab, and gives its memory to the class or else back. */
  #reclaim(slab: Slab, sizeClass: SizeClass): void {
    const loser = slab.sizeClass;
    assert(loser !== sizeClass, 'a slab is taken from another class');
    for (const slot of slab.slots) if (slot.extent !== undefined) this.#evict(slot);
    // Processes outside read some of it: it is reclaimed when they have let go.
    if (slab.pinnedSlots > 0) return;
    assert(slab.usedSlots === 0, 'an owner that is told of an eviction does not allocate');
    for (const slot of slab.slots) loser.free.remove(slot);
    this.#idle.remove(slab);
    this.#idleBytes -= slab.byteLength;
    loser.slabBytes -= slab.byteLength;
    this.#forgetClassWithoutSlabs(loser);
    if (fits(slab.memory, sizeClass, this.#nextSlabBytes(sizeClass))) {
      this.#addSlab(slab.memory, sizeClass);
    } else this.#memory.giveBack(slab.memory);
  }
}

/** How many times as long a slab must have rested as a class's own oldest extent to be taken first. */
const muchOlder = 2;

/**
 * Extents that a class may get at once from memory that was made ahead of need, though it wants fewer
 * for now: the first load would take new memory otherwise, and that one be made for nothing.
 */
const blankSlotsMax = 64;
