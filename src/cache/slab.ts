import { assert } from '../base/assert.ts';
import { roundUp } from '../base/bytes.ts';
import { limits } from '../blocks/limits.ts';
import type { Extent } from './extent.ts';
import { SlabList } from './slab-list.ts';
import type { SlabListNode } from './slab-list.ts';
import type { SlabBytes } from './slab-memory.ts';

/** All slabs that are carved into extents of one size. */
export class SizeClass {
  readonly extentBytes: number;
  /** Slots that hold nothing; the newest was freed last, so its pages are the warmest. */
  readonly free = new SlabList<Slot>();
  /** Memory of its slabs. */
  slabBytes = 0;
  /**
   * Slots whose extent is resident and not pinned, those used once and those used again, each in
   * order of their last use.
   */
  readonly #usedOnce = new SlabList<Slot>();
  readonly #usedAgain = new SlabList<Slot>();
  #onceSlots = 0;
  #againSlots = 0;

  constructor(extentBytes: number) {
    this.extentBytes = extentBytes;
  }

  /** The slot's extent, used last of all, may be evicted from now on. */
  addEvictable(slot: Slot): void {
    if (isUsedAgain(slot)) {
      this.#usedAgain.addNewest(slot);
      this.#againSlots += 1;
    } else {
      this.#usedOnce.addNewest(slot);
      this.#onceSlots += 1;
    }
  }

  removeEvictable(slot: Slot): void {
    if (isUsedAgain(slot)) {
      this.#usedAgain.remove(slot);
      this.#againSlots -= 1;
    } else {
      this.#usedOnce.remove(slot);
      this.#onceSlots -= 1;
    }
  }

  /**
   * The slot to evict first. What was used once goes before what was used again, so that a scan
   * pushes out only itself; a share is left to it, in which what is new can be used again.
   */
  get victim(): Slot | undefined {
    const once = this.#usedOnce.oldest;
    const again = this.#usedAgain.oldest;
    if (once === undefined || again === undefined) return once ?? again;
    const isOnceOver = this.#onceSlots > onceShare * (this.#onceSlots + this.#againSlots);
    return isOnceOver ? once : again;
  }

  /** The evictable slot that was not used for longest, whichever would be evicted first. */
  get longestUnused(): Slot | undefined {
    const once = this.#usedOnce.oldest;
    const again = this.#usedAgain.oldest;
    if (once === undefined || again === undefined) return once ?? again;
    return once.lastUse < again.lastUse ? once : again;
  }
}

/**
 * The length of the extents of a payload's class. An empty payload takes a unit as well: so the budget
 * bounds the number of entries too.
 */
export function extentBytesFor(byteLength: number): number {
  const { extentBytesUnit, largeExtentBytesMin, largeExtentBytesUnit } = limits;
  if (byteLength >= largeExtentBytesMin) return roundUp(byteLength, largeExtentBytesUnit);
  return Math.max(extentBytesUnit, roundUp(byteLength, extentBytesUnit));
}

/** Share of a class's evictable extents that those used once have (slab-memory-tier.trace.test.ts). */
const onceShare = 1 / 4;

function isUsedAgain({ extent }: Slot): boolean {
  assert(extent !== undefined, 'an empty slot is not evictable');
  return extent.isUsedAgain;
}

/**
 * A piece of memory carved into slots of equal size. What does not fill a slot at its end is lost.
 *
 * It is *idle* while no extent in it is pinned: only then may it be taken from its class. The fields
 * belong to the tier.
 */
export class Slab implements SlabListNode<Slab> {
  readonly memory: SlabBytes;
  readonly byteLength: number;
  readonly sizeClass: SizeClass;
  readonly slots: readonly Slot[];
  /** Slots that hold an extent. */
  usedSlots = 0;
  /** Slots that hold an extent which somebody pins. */
  pinnedSlots = 0;
  /** The tier's count of uses when an extent in it was last used. */
  lastUse = 0;
  older: Slab | undefined = undefined;
  newer: Slab | undefined = undefined;

  constructor(memory: SlabBytes, sizeClass: SizeClass) {
    this.memory = memory;
    this.byteLength = memory.byteLength;
    this.sizeClass = sizeClass;
    const count = Math.floor(this.byteLength / sizeClass.extentBytes);
    assert(count > 0, 'a slab holds at least one extent');
    this.slots = Array.from({ length: count }, (_, i) => new Slot(this, i * sizeClass.extentBytes));
  }
}

/**
 * A place for one extent. It is in the list `free` of its class while it holds none, evictable while
 * its extent is resident and not pinned, and in no list while its extent is pinned.
 */
export class Slot implements SlabListNode<Slot> {
  readonly slab: Slab;
  readonly offset: number;
  extent: SlabExtent | undefined = undefined;
  /** The tier's count of uses when its extent was last used. */
  lastUse = 0;
  older: Slot | undefined = undefined;
  newer: Slot | undefined = undefined;

  constructor(slab: Slab, offset: number) {
    this.slab = slab;
    this.offset = offset;
  }
}

/** What an extent tells its tier. One object for all extents of a tier. */
export interface ExtentEvents {
  /** The first user came. */
  readonly pinned: (slot: Slot, byteLength: number) => void;
  /** The last user left. */
  readonly unpinned: (slot: Slot, byteLength: number) => void;
}

/** An extent in a slot. Made anew for every use of the slot, so that a use after its end shows. */
export class SlabExtent implements Extent {
  readonly byteLength: number;
  readonly events: ExtentEvents;
  /** What the tier calls when it evicts the extent; absent while it is not resident. */
  onEvict: (() => void) | undefined = undefined;
  /** Used again after it became resident. Does not change while its slot is evictable. */
  isUsedAgain = false;
  #slot: Slot | undefined;
  #bytes: SlabBytes;
  #pins = 1;

  constructor(slot: Slot, byteLength: number, events: ExtentEvents) {
    this.byteLength = byteLength;
    this.events = events;
    this.#slot = slot;
    this.#bytes = slot.slab.memory.subarray(slot.offset, slot.offset + byteLength);
  }

  get bytes(): SlabBytes {
    assert(this.#slot !== undefined, 'the bytes of an extent are used after its end');
    return this.#bytes;
  }

  /** Where it lies; an assertion failure once it has ended. */
  get slot(): Slot {
    assert(this.#slot !== undefined, 'an extent is used after its end');
    return this.#slot;
  }

  get isPinned(): boolean {
    return this.#pins > 0;
  }

  pin(): void {
    const { slot } = this;
    this.#pins += 1;
    if (this.#pins === 1) this.events.pinned(slot, this.byteLength);
  }

  unpin(): void {
    assert(this.#pins > 0, 'an extent is unpinned more often than pinned');
    this.#pins -= 1;
    if (this.#pins === 0) this.events.unpinned(this.slot, this.byteLength);
  }

  /** The memory is free: this object lets go of it. */
  end(): void {
    assert(this.#pins === 0, 'an extent ends when nobody pins it');
    this.#slot = undefined;
    this.#bytes = ended;
  }
}

const ended = new Uint8Array(new SharedArrayBuffer(0));

/** True when a class that wants a slab of that length can use the memory. */
export function fits(memory: SlabBytes, { extentBytes }: SizeClass, wantedBytes: number): boolean {
  const { byteLength } = memory;
  if (byteLength < extentBytes || byteLength > 2 * wantedBytes) return false;
  return byteLength % extentBytes <= byteLength * lossMax;
}

/** Most of a slab, as its fraction, that may be lost when it is carved for a class anew. */
const lossMax = 1 / 8;
