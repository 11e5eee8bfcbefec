import type { BlockKey } from '../blocks/block-key.ts';
import type { Borrow, LoadOptions } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';

/** What is left of a load when what is kept has been given. */
export type LoadRest = (keys: readonly BlockKey[]) => Promise<Borrow>;

/**
 * Blocks that a client has read from a daemon and keeps near, within a budget.
 *
 * A block's bytes never change under its key, so what is kept can only be too old by having been
 * deleted: {@link forget} is for what this client deletes, and what others delete stays, as in the
 * local tiers of any other process. Tails are not kept: a longer one may come at any time, and a raw
 * tail may be replaced.
 *
 * Only a block that was loaded for a fingerprint is known to be of it. One that is kept and not wanted
 * is asked for, and the daemon says why it is none.
 */
export interface KeptBlocks {
  /**
   * The leading blocks that are kept, and behind them what `loadRest` gives. When that fails because
   * nobody is there, what is kept is the answer, as far as there is any.
   */
  load(
    namespace: Namespace,
    keys: readonly BlockKey[],
    options: LoadOptions | undefined,
    loadRest: LoadRest,
  ): Promise<Borrow>;

  /**
   * Forgets the blocks, or all of the namespace, at once; a load that is under way does not bring them
   * back. What is borrowed stays valid.
   */
  forget(namespace: Namespace, keys?: readonly BlockKey[]): Promise<void>;

  /** Lets go of everything that nobody has borrowed, for good. */
  close(): Promise<void>;
}
