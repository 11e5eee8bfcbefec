/** A queue that gives the item with the smallest number first: a binary heap. */
export class SmallestFirst<Item> {
  readonly #heap: { readonly item: Item; readonly order: number }[] = [];

  push(item: Item, order: number): void {
    const heap = this.#heap;
    const entry = { item, order };
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent].order <= order) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  /** Takes the first one out. */
  pop(): Item | undefined {
    const first = this.#heap.at(0);
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (this.#heap.length > 0) this.#sink(last);
    return first.item;
  }

  /** Puts the entry where the first one was, and then below all that are smaller. */
  #sink(entry: { readonly item: Item; readonly order: number }): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].order < heap[child].order) child += 1;
      if (heap[child].order >= entry.order) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = entry;
  }
}
