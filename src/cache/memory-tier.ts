import type { Extent } from './extent.ts';

/** What a memory tier holds. Taken at the moment it is read. */
export interface MemoryUsage {
  /** Resident extents. */
  readonly entries: number;
  /** Bytes of their payloads. */
  readonly bytes: number;
  /** Memory taken from the system, used or not. Never more than `budgetBytes`. */
  readonly slabBytes: number;
  readonly budgetBytes: number;
  /** Resident extents that made room for others, since the beginning. */
  readonly evictions: number;
  /** Payload bytes of the extents that somebody pins, resident or not. */
  readonly pinnedBytes: number;
}

/**
 * Payloads in memory, within a budget. It knows extents only; which payload lies where is known to
 * the owner, who hears of every eviction.
 *
 * Implementors must never take more than the budget, never reuse memory that is pinned or resident,
 * and call `onEvict` exactly once for every extent that they evict, and for no other.
 */
export interface MemoryTier {
  /**
   * Memory for that many bytes, pinned once for the caller and not resident; evicts unpinned
   * resident extents as needed. Undefined when what is pinned leaves no room, or when so many bytes
   * never fit.
   */
  allocate(byteLength: number): Extent | undefined;
  /**
   * From now on the tier keeps the extent after its users left, and may evict it when nobody pins
   * it. Then it calls `onEvict`, in which the owner forgets the extent. `onEvict` must not throw,
   * and must not pin or allocate. `isUsedAgain` tells that its payload was in use before, though
   * not in this tier: what is used once is evicted before what is used again.
   */
  makeResident(extent: Extent, onEvict: () => void, isUsedAgain?: boolean): void;
  /** Marks as just used. A pinned extent counts as used until its last user leaves. */
  touch(extent: Extent): void;
  /** Takes a resident extent out, without `onEvict`. Its memory is reused once nobody pins it. */
  remove(extent: Extent): void;
  readonly usage: MemoryUsage;
}
