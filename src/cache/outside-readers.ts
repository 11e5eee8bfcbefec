import type { SlabBytes } from './slab-memory.ts';

/** Those who read extents from outside the process, and of whom the tier's pins know nothing. */
export interface OutsideReaders {
  /**
   * Hides what was shown at that offset of the memory's buffer, if anything was. True while somebody
   * still reads it: then the tier asks again later, and does not use it until the answer is false.
   */
  retire(offset: number, memory: SlabBytes): boolean;
  /** True when somebody has used what is shown there since it was shown, or since this was last asked. */
  takeUse(offset: number, memory: SlabBytes): boolean;
  /** The tier lets go of memory that it took. Nobody reads any of it. */
  giveBack(memory: SlabBytes): void;
}

/** Ordinary memory goes back at the next garbage collection. */
export const noReaders: OutsideReaders = {
  retire: () => false,
  takeUse: () => false,
  giveBack: () => undefined,
};
