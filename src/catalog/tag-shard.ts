import { assert } from '../base/assert.ts';

/** Memory that other processes read, for the entries of one set (shared-known.ts). */
export interface SharedTags {
  /**
   * Takes all entries of the set, which lie in the array that this gives from then on. Undefined when there is no room
   * for them: then nobody reads the set any more, as after `withdraw`.
   */
  place(entries: Int32Array): Int32Array | undefined;
  /** Writes the entry that is at that place among others, as a whole for whoever reads it. */
  put(slot: number, entries: Int32Array, from: number): void;
  /** Nobody reads the set any more. */
  withdraw(): void;
}

/**
 * A set of 13-byte tags with an owner's number and a mark each, in one array: open addressing with
 * linear probing, and no traces of what was removed. It grows up to `sizeMax` tags; from then on a
 * new one takes the place of one that was not found since the hand last came by (CLOCK).
 *
 * | word | bits of an entry; all zero in a free one                              |
 * | ---: | --------------------------------------------------------------------- |
 * | 0–2  | the tag's first 12 bytes                                              |
 * | 3    | 31–24 its last byte, 23 found since, 22 the mark, 21–0 owner, never 0 |
 *
 * Slots are given as indices that are good until the next change of the set.
 *
 * Once the set is shared its entries lie in memory that other processes read. They are written through
 * {@link SharedTags} but for the bits of the last word alone, which nobody takes for a part of the tag.
 */
export class TagShard {
  readonly #sizeMax: number;
  readonly #slotsMax: number;
  #entries: Int32Array = new Int32Array(entryWords * slotsFirst);
  #mask = slotsFirst - 1;
  #size = 0;
  /** The slot that the hand points at. */
  #hand = 0;
  #shared: SharedTags | undefined;

  constructor(sizeMax: number) {
    assert(Number.isSafeInteger(sizeMax) && sizeMax > 0, `a set of at most ${sizeMax} tags`);
    this.#sizeMax = sizeMax;
    this.#slotsMax = slotsOf(sizeMax);
  }

  /**
   * A set of what another one had in its {@link TagShard.entries}, without marks; undefined when that can
   * be no set of at most `sizeMax` tags. It keeps the array.
   */
  static of(entries: Int32Array, sizeMax: number): TagShard | undefined {
    const shard = new TagShard(sizeMax);
    const slots = entries.length / entryWords;
    if (slots < slotsFirst || slots > shard.#slotsMax || (slots & (slots - 1)) !== 0)
      return undefined;
    for (let at = entryWords - 1; at < entries.length; at += entryWords) {
      const word = entries[at];
      if (word === 0) continue;
      if ((word & ownerMost) === 0) return undefined;
      entries[at] = word & identity;
      shard.#size += 1;
    }
    // A full one would be searched for ever.
    if (shard.#size > sizeMax || shard.#size > slots * fullShare) return undefined;
    shard.#entries = entries;
    shard.#mask = slots - 1;
    return shard;
  }

  /** The array itself, which the next change of the set changes. */
  get entries(): Int32Array {
    return this.#entries;
  }

  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return this.#entries.byteLength;
  }

  /** From now on other processes read the set. False when there is no room for it: then it stays as it was. */
  share(shared: SharedTags): boolean {
    assert(this.#shared === undefined, 'a set is shared once');
    const placed = shared.place(this.#entries);
    if (placed === undefined) return false;
    this.#shared = shared;
    this.#entries = placed;
    return true;
  }

  /** Nobody else reads what becomes of the set from now on. */
  withdraw(): void {
    this.#shared?.withdraw();
    if (this.#shared !== undefined) this.#entries = this.#entries.slice();
    this.#shared = undefined;
  }

  /** Where a search for a tag begins, by its first word: what was read comes sooner the next time. */
  homeWord(first: number): number {
    return this.#entries[entryWords * (first & this.#mask) + 3];
  }

  /** The slot of the tag in the four words from there on, or -1. */
  find(tags: Int32Array, from = 0): number {
    const entries = this.#entries;
    const mask = this.#mask;
    const first = tags[from];
    const second = tags[from + 1];
    const third = tags[from + 2];
    const last = tags[from + 3];
    for (let slot = first & mask; ; slot = (slot + 1) & mask) {
      const at = entryWords * slot;
      const word = entries[at + 3];
      if (word === 0) return -1;
      if (
        entries[at] === first &&
        entries[at + 1] === second &&
        entries[at + 2] === third &&
        (word & identity) === last
      ) {
        if ((word & found) === 0) entries[at + 3] = word | found;
        return slot;
      }
    }
  }

  isMarked(slot: number): boolean {
    return (this.#entries[entryWords * slot + 3] & mark) !== 0;
  }

  mark(slot: number): void {
    this.#entries[entryWords * slot + 3] |= mark;
  }

  /** Adds a tag that is not in the set. */
  add(tag: Int32Array, isMarked: boolean): void {
    assert((tag[3] & ownerMost) !== 0 && (tag[3] & ~identity) === 0, 'a tag has an owner only');
    if (this.#size >= this.#sizeMax) this.#evict();
    const slots = this.#mask + 1;
    if (this.#size >= slots * fullShare && slots < this.#slotsMax) this.#grow();
    const slot = this.#freeSlotFrom(tag[0]);
    this.#put(slot, tag, 0);
    if (isMarked) this.mark(slot);
    this.#size += 1;
  }

  /** Takes out what is in the slot, and closes the gap. */
  remove(slot: number): void {
    const entries = this.#entries;
    const mask = this.#mask;
    assert(entries[entryWords * slot + 3] !== 0, 'a free slot holds nothing to remove');
    let gap = slot;
    for (let next = (gap + 1) & mask; ; next = (next + 1) & mask) {
      const at = entryWords * next;
      if (entries[at + 3] === 0) break;
      // What is found by probing from its home over the gap moves into it.
      const home = entries[at] & mask;
      if (((next - home) & mask) < ((next - gap) & mask)) continue;
      // Whoever reads meanwhile finds it at one of the two.
      this.#put(gap, entries, next);
      gap = next;
    }
    this.#put(gap, freeEntry, 0);
    this.#size -= 1;
  }

  #evict(): void {
    for (;;) {
      const slot = this.#hand;
      const at = entryWords * slot + 3;
      const word = this.#entries[at];
      if (word !== 0 && (word & found) === 0) {
        this.remove(slot);
        return;
      }
      this.#entries[at] = word & ~found;
      this.#hand = (slot + 1) & this.#mask;
    }
  }

  #grow(): void {
    const old = this.#entries;
    const shared = this.#shared;
    this.#shared = undefined;
    this.#entries = new Int32Array(2 * old.length);
    this.#mask = 2 * this.#mask + 1;
    this.#hand = 0;
    for (let from = 0; from < old.length / entryWords; from += 1) {
      const at = entryWords * from;
      if (old[at + 3] !== 0) this.#put(this.#freeSlotFrom(old[at]), old, from);
    }
    if (shared !== undefined) this.share(shared);
  }

  /** Writes the entry that is at that place among others. */
  #put(slot: number, entries: Int32Array, from: number): void {
    if (this.#shared !== undefined) {
      this.#shared.put(slot, entries, from);
      return;
    }
    const at = entryWords * from;
    const to = entryWords * slot;
    for (let word = 0; word < entryWords; word += 1) this.#entries[to + word] = entries[at + word];
  }

  #freeSlotFrom(home: number): number {
    let slot = home & this.#mask;
    while (this.#entries[entryWords * slot + 3] !== 0) slot = (slot + 1) & this.#mask;
    return slot;
  }
}

/** Slots that a set of at most so many tags has when it has grown. */
export function slotsOf(sizeMax: number): number {
  let slots = slotsFirst;
  while (slots * fullShare < sizeMax) slots *= 2;
  return slots;
}

/** Greatest number of an owner. */
export const ownerMost = 2 ** 22 - 1;
/** Words of an entry, and of a tag. */
export const entryWords = 4;

const mark = 1 << 22;
const found = 1 << 23;
/** Bits of the last word that tell entries apart. */
const identity = ~(mark | found);
const slotsFirst = 16;
const freeEntry: Int32Array = new Int32Array(entryWords);
/** A fuller set probes too long: at this share an absent tag takes about nine looks. */
const fullShare = 0.75;
