import { assert } from '../base/assert.ts';
import { knownKeysMax, nativeKernels } from '../base/native-kernels.ts';
import type { KnownTables } from '../base/native-kernels.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { blockKeyLength } from '../blocks/block-key.ts';
import type { Random } from '../platform/random.ts';
import { TagShard, entryWords, ownerMost, slotsOf } from './tag-shard.ts';
import type { SharedTags } from './tag-shard.ts';

/** What is known of a key: it is there, and maybe marked. */
export type Known = 'marked' | 'unmarked';

/**
 * A set of keys by owner, ten million of them in 256 MiB (known-table.bench.ts). It keeps 13 bytes of
 * each: whatever it says may be wrong with a chance of about 2^-104 a key, so it is a hope, which
 * whoever acts on it may find wrong and take back.
 *
 * Those bytes are a mix of all the key's, and not its beginning: keys come from callers, and what
 * counts upwards in hex has one beginning. What is mixed in is drawn anew for each table, so that no
 * caller can aim many keys at one place.
 *
 * The keys lie in shards that grow each by itself: no call pays for the growth of all.
 */
export class KnownTable {
  readonly #shards: TagShard[] = [];
  readonly #shardSizeMax: number;
  /** A multiplier for each lane of the mix, and where the lane begins. */
  readonly #multipliers = new Int32Array(entryWords);
  readonly #starts = new Int32Array(entryWords);
  /** Of a group of keys; a key by itself has the first place. */
  readonly #words = new Int32Array(groupMost * digestWords);
  readonly #digests = Buffer.from(this.#words.buffer);
  readonly #tags = new Int32Array(groupMost * entryWords);
  readonly #homes = new Int32Array(groupMost);
  /** The same table for native code, from the first time that it is asked on. */
  #native: { readonly code: KnownTables; readonly table: object } | undefined;

  /** Of more than `sizeMax` keys it forgets those that nobody asked for lately. */
  constructor(sizeMax: number, random: Random) {
    this.#shardSizeMax = Math.ceil(sizeMax / shardCount);
    this.clear();
    const hex = random.hex(8 * entryWords);
    for (let lane = 0; lane < entryWords; lane += 1) {
      // An odd multiplier loses nothing.
      this.#multipliers[lane] = wordAt(hex, 16 * lane) | 1;
      this.#starts[lane] = wordAt(hex, 16 * lane + 8);
    }
  }

  /** What {@link KnownTable.recall} takes: words of the mix, and the shards' own arrays. */
  get image(): { readonly mix: Int32Array; readonly shards: readonly Int32Array[] } {
    const mix = new Int32Array(2 * entryWords);
    mix.set(this.#multipliers);
    mix.set(this.#starts, entryWords);
    return { mix, shards: this.#shards.map(({ entries }) => entries) };
  }

  /**
   * Takes over the keys of another table, unmarked, in place of its own; the arrays are its own from then
   * on. False, and nothing is changed, when it is no image of a table of that size.
   */
  recall({ mix, shards }: KnownTable['image']): boolean {
    if (mix.length !== 2 * entryWords || shards.length !== shardCount) return false;
    const recalled: TagShard[] = [];
    for (const entries of shards) {
      const shard = TagShard.of(entries, this.#shardSizeMax);
      if (shard === undefined) return false;
      recalled.push(shard);
    }
    this.#withdraw();
    this.#shards.splice(0, this.#shards.length, ...recalled);
    this.#multipliers.set(mix.subarray(0, entryWords));
    this.#starts.set(mix.subarray(entryWords));
    this.#native = undefined;
    return true;
  }

  get size(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.size, 0);
  }

  /** Bytes of the table's arrays. */
  get byteLength(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.byteLength, 0);
  }

  get(owner: number, key: BlockKey): Known | undefined {
    const shard = this.#shards[this.#tagOf(owner, key)];
    const slot = shard.find(this.#tags);
    if (slot < 0) return undefined;
    return shard.isMarked(slot) ? 'marked' : 'unmarked';
  }

  /**
   * How many keys from that index on are in it, up to the first that is not. Each of many keys lies in memory that the
   * processor has not near, so a group of them is looked for together: by native code in one call, or by
   * {@link KnownTable.leadingPortable}. Both give the same and mark the same.
   */
  leading(owner: number, keys: readonly BlockKey[], from: number): number {
    const native = this.#nativeTable();
    if (native === undefined) return this.leadingPortable(owner, keys, from);
    const { code, table } = native;
    let size = nativeGroupLeast;
    for (let start = from; start < keys.length; start += size, size = knownKeysMax) {
      const isWhole = start === 0 && keys.length <= size;
      const group = isWhole ? keys : keys.slice(start, start + size);
      const known = code.leading(table, group.join(''), owner);
      if (known < group.length) return start + known - from;
    }
    return keys.length - from;
  }

  /**
   * As {@link KnownTable.leading}, without native code. It makes the tags of a group, then looks at their homes, and
   * searches last: only loads that follow each other closely are waited for together (docs/decisions/0098).
   */
  leadingPortable(owner: number, keys: readonly BlockKey[], from: number): number {
    let size = groupLeast;
    for (
      let start = from;
      start < keys.length;
      start += size, size = Math.min(2 * size, groupMost)
    ) {
      const group = keys.slice(start, start + size);
      const known = this.#leadingOf(owner, group);
      if (known < group.length) return start + known - from;
    }
    return keys.length - from;
  }

  #leadingOf(owner: number, group: readonly BlockKey[]): number {
    const tags = this.#tags;
    const homes = this.#homes;
    const digests = this.#digests.subarray(0, group.length * digestWords * 4);
    digests.write(group.join(''), 'hex');
    // Words are numbers whose first digit counts most.
    digests.swap32();
    const shards = group.map((_, index) => this.#shards[this.#mix(owner, index)]);
    for (let i = 0; i < shards.length; i += 1) homes[i] = shards[i].homeWord(tags[i * entryWords]);
    for (let i = 0; i < shards.length; i += 1) {
      if (homes[i] === 0 || shards[i].find(tags, i * entryWords) < 0) return i;
    }
    return shards.length;
  }

  /** Puts the key in, if it is not. */
  add(owner: number, key: BlockKey): void {
    const number = this.#tagOf(owner, key);
    if (this.#shards[number].find(this.#tags) < 0) this.#addTag(number, false);
  }

  /** Puts the key in, and marks it. */
  addMarked(owner: number, key: BlockKey): void {
    const number = this.#tagOf(owner, key);
    const shard = this.#shards[number];
    const slot = shard.find(this.#tags);
    if (slot < 0) this.#addTag(number, true);
    else shard.mark(slot);
  }

  remove(owner: number, key: BlockKey): void {
    const shard = this.#shards[this.#tagOf(owner, key)];
    const slot = shard.find(this.#tags);
    if (slot >= 0) shard.remove(slot);
  }

  /** Entries that a shard has when it has grown. */
  get shardSlotsMax(): number {
    return slotsOf(this.#shardSizeMax);
  }

  /** Other processes read that shard from now on. False when there is no room for it. */
  share(number: number, shared: SharedTags): boolean {
    const shard = this.#shards[number];
    if (!shard.share(shared)) return false;
    this.#native?.code.move(this.#native.table, number, shard.entries);
    return true;
  }

  /** Nobody else reads what the table has then. */
  clear(): void {
    this.#withdraw();
    this.#native = undefined;
    this.#shards.length = 0;
    for (let i = 0; i < shardCount; i += 1) this.#shards.push(new TagShard(this.#shardSizeMax));
  }

  #withdraw(): void {
    for (const shard of this.#shards) shard.withdraw();
  }

  /** The table as native code has it; undefined where there is none. */
  #nativeTable(): { readonly code: KnownTables; readonly table: object } | undefined {
    const code = nativeKernels()?.known;
    if (code === undefined) return undefined;
    if (this.#native?.code !== code) {
      const { mix, shards } = this.image;
      this.#native = { code, table: code.open(mix, shards) };
    }
    return this.#native;
  }

  /** Adds the first of tags, which is not there, to the shard of that number. */
  #addTag(number: number, isMarked: boolean): void {
    const shard = this.#shards[number];
    const { entries } = shard;
    shard.add(this.#tags.subarray(0, entryWords), isMarked);
    if (shard.entries !== entries)
      this.#native?.code.move(this.#native.table, number, shard.entries);
  }

  /** Makes the tag of the key, the first of tags; returns the number of the shard in which it belongs. */
  #tagOf(owner: number, key: BlockKey): number {
    for (let i = 0; i < digestWords; i += 1) this.#words[i] = wordAt(key, 8 * i);
    return this.#mix(owner, 0);
  }

  /** Makes the tag of a digest, both of that place in the group; returns the number of its shard. */
  #mix(owner: number, place: number): number {
    assert(owner > 0 && owner <= ownerMost, `owner ${owner} of a key`);
    const starts = this.#starts;
    const multipliers = this.#multipliers;
    // Many owners may have the one key: each has another home for it.
    const offset = Math.imul(owner, ownerStep);
    let [a, b, c, d] = [starts[0] ^ offset, starts[1], starts[2], starts[3] ^ offset];
    const [ma, mb, mc, md] = [multipliers[0], multipliers[1], multipliers[2], multipliers[3]];
    const words = this.#words;
    const end = (place + 1) * digestWords;
    for (let i = place * digestWords; i < end; i += 1) {
      const word = words[i];
      a = Math.imul(a ^ word, ma);
      b = Math.imul(b ^ word, mb);
      c = Math.imul(c ^ word, mc);
      d = Math.imul(d ^ word, md);
      a ^= a >>> 15;
      b ^= b >>> 13;
      c ^= c >>> 17;
      d ^= d >>> 14;
    }
    const tags = this.#tags;
    const at = place * entryWords;
    tags[at] = finish(a);
    tags[at + 1] = finish(b);
    tags[at + 2] = finish(c);
    const last = finish(d);
    tags[at + 3] = (last & 0xff000000) | owner;
    return last & (shardCount - 1);
  }
}

const digestWords = blockKeyLength / 8;

/** Keys that are looked for together; few at first, for the first may be absent. */
const groupLeast = 16;
const groupMost = 64;
/** Keys of the first call of native code; most lookups are one (docs/decisions/0101). */
const nativeGroupLeast = 128;

/** Growing one of so many takes below a millisecond (known-table.bench.ts). */
export const shardCount = 256;

/** Spreads the numbers of owners, which count up, over all bits. */
const ownerStep = 0x9e3779b1;

/** Eight lower-case hex digits from there on, as a word. */
function wordAt(hex: string, at: number): number {
  let word = 0;
  for (let i = at; i < at + 8; i += 1) {
    const code = hex.charCodeAt(i);
    // A letter's code has bit 6, and its low bits begin at 1 for `a`.
    word = (word << 4) | ((code & 15) + 9 * (code >> 6));
  }
  return word;
}

/** Spreads every bit over all: lanes multiply, which moves bits up only. */
function finish(lane: number): number {
  let word = Math.imul(lane ^ (lane >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return word ^ (word >>> 15);
}
