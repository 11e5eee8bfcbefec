import { limits } from '../blocks/limits.ts';
import { NamespaceInventory } from './collect-inventory.ts';
import type { Inventory, StoredObject } from './collect-inventory.ts';
import { SmallestFirst } from './collect-queue.ts';
import { visitInTurns } from './collect-turns.ts';
import type { Pause } from './collect-turns.ts';

/** What a plan keeps to. */
export interface PlanRules {
  readonly budgetBytes: number;
  /** Bytes to come down to. */
  readonly targetBytes: number;
  /** What was used later than this is spared as soon as the rest is within the budget. */
  readonly youngSinceMs: number;
  /** True for an object that must stay now, with all above it. */
  isKept(object: StoredObject): boolean;
  /** Learns how the objects of the namespace hang together and links them. */
  open(objects: NamespaceInventory): Promise<void>;
  readonly pause: Pause;
}

/**
 * Which objects to remove, in an order in which nothing comes before what hangs on it: always the
 * leaf that was used least recently. So a chain goes from its end, its tails first, and a block that
 * chains share goes after the last of them.
 *
 * A namespace waits in the same queue with its earliest use and is opened when its turn comes: what
 * lies in namespaces that were all used later is not looked at.
 */
export async function planRemoval(
  inventory: Inventory,
  rules: PlanRules,
): Promise<readonly StoredObject[]> {
  const queue = new SmallestFirst<StoredObject | NamespaceInventory>();
  for (const objects of inventory.namespaces.values()) queue.push(objects, objects.oldestUseMs);
  const plan: StoredObject[] = [];
  let planned = 0;
  // Opening may find objects gone, so the rest is counted anew each time.
  while (inventory.bytes - planned > rules.targetBytes) {
    const next = queue.pop();
    if (next === undefined) break;
    if (next instanceof NamespaceInventory) {
      await rules.open(next);
      await visitInTurns(next.leaves(), rules.pause, (leaf) => queue.push(leaf, leaf.usedMs));
      continue;
    }
    // The queue gives the oldest first: when this one is young, so are all that could go.
    const isYoung = next.usedMs > rules.youngSinceMs;
    if (isYoung && inventory.bytes - planned <= rules.budgetBytes) break;
    if (rules.isKept(next)) continue;
    next.planIndex = plan.length;
    plan.push(next);
    planned += next.byteLength;
    const { above } = next;
    if (above?.planChild() === true) queue.push(above, above.usedMs);
    if (plan.length % limits.collectTurnObjectsMax === 0) await rules.pause();
  }
  return plan;
}
