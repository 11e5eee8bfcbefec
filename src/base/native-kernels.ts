/**
 * Faster implementations of what this folder computes. They come from native code, which only the
 * platform can load, so they are handed down. They give the same values, so it does not matter when.
 */
export interface NativeKernels {
  /** The CRC32C of `a ‖ input`, given that of `a`. */
  crc32c(input: Uint8Array, initial: number): number;
  /**
   * Fills `target` with values of two bytes, the low byte of each from `lows`, the high one from `highs`,
   * which have half its length. No overlap.
   */
  mergePlanes(target: Uint8Array, lows: Uint8Array, highs: Uint8Array): void;
  /**
   * Fills `target` with what a frame of zstd holds, by the zstd of the system; or with values of two bytes if it `hasPlanes`, all
   * low bytes and then all high ones, of which `lows` are the low ones where it is not empty. Gives the CRC32C of `target`;
   * undefined when nothing was done, for want of such a library or of memory. The frame was checked by `checkZstdFrame`.
   *
   * @throws Error saying what is wrong with the frame; what `target` holds is undefined then.
   */
  decode(
    target: Uint8Array,
    frame: Uint8Array,
    lows: Uint8Array,
    hasPlanes: boolean,
  ): number | undefined;
  /** The same on a thread of the system's. What it reads stays as it is meanwhile. */
  decodeLater(
    ...payload: Parameters<NativeKernels['decode']>
  ): Promise<number | undefined> | undefined;
  /**
   * Fills `keys` with digests of 64 ASCII characters: each is the BLAKE3 digest of the 64 characters
   * before it, of which `tip` holds the first, and of the next `blockTokens` tokens.
   */
  chainKeys(tip: Uint8Array, tokens: Int32Array, blockTokens: number, keys: Uint8Array): void;
  readonly known: KnownTables;
}

/**
 * Tables of keys by owner (src/catalog/known-table.ts). What native code has of one is where its arrays lie, and
 * it keeps them until the table is garbage; their owner says when a shard has another array.
 */
export interface KnownTables {
  /** `mix` has the multiplier of each lane and then where each begins; `shards` are 256, each of a power of two entries. */
  open(mix: Int32Array, shards: readonly Int32Array[]): object;
  /** The shard's entries lie in that array from now on. */
  move(table: object, shard: number, entries: Int32Array): void;
  /**
   * How many leading keys, joined, the owner has; they are marked as found. At most {@link knownKeysMax}. What is no
   * key in its one form nobody has.
   */
  leading(table: object, keys: string, owner: number): number;
}

/** Most keys that native code is asked for at once. */
export const knownKeysMax = 1016;

let inUse: NativeKernels | undefined;

/** The implementations that this thread uses from now on; undefined: the portable ones. */
export function useNativeKernels(kernels: NativeKernels | undefined): void {
  inUse = kernels;
}

/** What was last given to {@link useNativeKernels}. */
export function nativeKernels(): NativeKernels | undefined {
  return inUse;
}
