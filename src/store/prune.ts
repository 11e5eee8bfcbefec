import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { ObjectInfo } from '../objectstore/object-store.ts';
import { Inventory } from './collect-inventory.ts';
import type { StoredObject } from './collect-inventory.ts';
import { Parents } from './collect-parents.ts';
import type { HeaderAnswer } from './collect-parents.ts';
import { planRemoval } from './collect-plan.ts';
import type { Pause } from './collect-turns.ts';

export interface PruneOptions {
  /** All objects of the namespace, a page at a time. */
  readonly pages: AsyncIterable<readonly ObjectInfo[]>;
  readonly keyPrefix: string;
  /** Whether objects of the v1 format are looked at. */
  readonly readsLegacy: boolean;
  /** What was written later than this stays, in milliseconds since 1970. */
  readonly writtenBeforeMs: number;
  readonly readHeader: (block: StoredObject) => Promise<HeaderAnswer>;
  readonly pause: Pause;
}

export interface PrunePlan {
  /** What goes, in an order in which nothing comes before what hangs on it. */
  readonly objects: readonly StoredObject[];
  /** Objects and bytes that were listed, those of other formats included. */
  readonly listedObjects: number;
  readonly listedBytes: number;
}

/**
 * Which objects were written before that time and have nothing younger hanging on them: whole
 * chains, and the old ends of others. Plans as the collector does, by age instead of bytes.
 *
 * @throws StoreError `TOO_LARGE` when there are more objects than one plan can hold.
 */
export async function planPrune(options: PruneOptions): Promise<PrunePlan> {
  const { keyPrefix, readsLegacy, pages, pause, readHeader, writtenBeforeMs } = options;
  const inventory = new Inventory(keyPrefix, readsLegacy);
  let listedObjects = 0;
  for await (const page of pages) {
    listedObjects += page.length;
    // Beyond this the inventory leaves objects out, and what they hang on would go before them.
    if (listedObjects > limits.collectObjectsMax) {
      const most = limits.collectObjectsMax;
      throw new StoreError('TOO_LARGE', `the namespace has more than ${most} objects to plan for`);
    }
    for (const info of page) inventory.add(info, () => -Infinity);
  }
  const { bytes: listedBytes } = inventory;
  const parents = new Parents({ cache: { entriesOf: () => [] }, readHeader, pause });
  const objects = await planRemoval(inventory, {
    ...{ budgetBytes: Infinity, targetBytes: -1, youngSinceMs: writtenBeforeMs },
    isKept: () => false,
    open: (namespace) => parents.learn(namespace, inventory),
    pause,
  });
  return { objects, listedObjects, listedBytes };
}
