import { limits } from '../blocks/limits.ts';

/** Lets other work of the thread have a turn; rejects when there is nothing to go on for. */
export type Pause = () => Promise<void>;

/** Visits every item, with a pause now and then. The items may come and go meanwhile. */
export async function visitInTurns<Item>(
  items: Iterable<Item>,
  pause: Pause,
  visit: (item: Item) => void,
): Promise<void> {
  let count = 0;
  for (const item of items) {
    visit(item);
    count += 1;
    if (count % limits.collectTurnObjectsMax === 0) await pause();
  }
}
