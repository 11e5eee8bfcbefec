import type { StoredObject } from './collect-inventory.ts';
import { runLanes } from './collect-lanes.ts';
import { SmallestFirst } from './collect-queue.ts';

/**
 * Removes in the order of the plan, as far as nothing is left that hangs on an object; several at
 * once. `remove` is told how many went before, and resolves to false for an object that is spared:
 * then nothing above it goes. Resolves to how many went.
 */
export async function removeInOrder(
  plan: readonly StoredObject[],
  remove: (object: StoredObject, removedBefore: number) => Promise<boolean>,
): Promise<number> {
  const ready = new SmallestFirst<StoredObject>();
  plan.forEach((object, index) => {
    if (object.children === 0) ready.push(object, index);
  });
  let removed = 0;
  await runLanes(async () => {
    // An object whose last child goes is taken by the lane that removed the child.
    const object = ready.pop();
    if (object === undefined) return false;
    if (!(await remove(object, removed))) return true;
    removed += 1;
    const { above } = object;
    const isFree = above?.removeChild() === true;
    if (isFree && above.planIndex !== undefined) ready.push(above, above.planIndex);
    return true;
  });
  return removed;
}
