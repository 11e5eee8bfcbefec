/**
 * The file of the keys that a store knows in the bucket, for clients on its host (capi/src/shared/known-file.h): a
 * header, names of namespaces with the number that each has as an owner, what is said of each shard, and a region for
 * the entries of each. Entries are those of src/catalog/tag-shard.ts.
 *
 * Only the store writes it, and native code writes what readers must see whole. Single bits of an entry's last word
 * (marked, found since) are set by one store of 32 bits anywhere.
 */
export interface KnownFileCode {
  /** Makes a file of memory of zeros with room for 2^log2Region entries in each shard; none is there yet. */
  create(memory: Uint8Array, log2Region: number, mix: Int32Array): void;
  /** False for memory that is no such file, or of another version. */
  isValid(memory: Uint8Array): boolean;
  /** Writes one entry of a shard that is there: the one at place `from` of `entries`. */
  put(memory: Uint8Array, shard: number, slot: number, entries: Int32Array, from: number): void;
  /** Writes all entries of a shard, a power of two, in place of what it has; it is there from then on. */
  place(memory: Uint8Array, shard: number, entries: Int32Array): void;
  /** The shard is not there any more: readers ask the store. */
  withdraw(memory: Uint8Array, shard: number): void;
  /**
   * Whether the store would say of keys, joined, by what it knows and without asking the bucket, that all are stored:
   * each lies in its memory or is known in the bucket, and the last one for certain. Owners are those of one namespace in
   * the file of the index and in this one; 0 where it has none.
   */
  areStored(
    index: Uint8Array,
    ownerThere: number,
    memory: Uint8Array,
    owner: number,
    keys: string,
  ): boolean;
}

/** Where in the file things begin, and how many there are. */
export const knownFile = {
  namesWord: 12,
  namesStart: 4096,
  namesMax: 1024,
  nameBytes: 96,
  /** Of a name: the owner's number, the length of the text, the text. */
  nameOffsets: { owner: 0, length: 4, text: 8 },
  nameTextMax: 88,
  shards: 256,
  /** Shards of at most so many entries lie there, a page each; larger ones in their regions. */
  smallStart: 4096 + 1024 * 96 + 256 * 16,
  smallEntriesMax: 256,
  regionsStart: 4096 + 1024 * 96 + 256 * 16 + 256 * 4096,
  entryBytes: 16,
  /** A region is whole pages. */
  regionEntriesMin: 256,
  /** Memory is taken by so many bytes. */
  pageBytes: 4096,
} as const;

/** Bytes of a file with room for so many entries in each shard. */
export function knownFileBytesOf(regionEntries: number): number {
  return knownFile.regionsStart + knownFile.shards * regionEntries * knownFile.entryBytes;
}
