/**
 * Memory for one payload, lent by whoever made it. It begins pinned once, for the caller of
 * `allocate`. While somebody pins it, or while it is resident, its bytes are its own; after that the
 * memory is used again, and any further use of this object is a fault.
 *
 * Users of a prefix should unpin from its last block to its first: what was unpinned last is
 * evicted last, and a prefix without its beginning is worth nothing.
 */
export interface Extent {
  /**
   * The memory, a view on a `SharedArrayBuffer`, as long as was asked for. What it holds at first is
   * left over from earlier users. Written only by whoever allocated it, before `makeResident`.
   */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** One more user. */
  pin(): void;
  /** One user less. At zero the memory of an extent that is not resident is free for reuse. */
  unpin(): void;
}
