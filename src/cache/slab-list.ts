import { assert } from '../base/assert.ts';

/** What a {@link SlabList} needs of its members. Only the list that holds the node writes these. */
export interface SlabListNode<Node> {
  older: Node | undefined;
  newer: Node | undefined;
}

/**
 * A doubly linked list through its members: adding, moving and removing take constant time and
 * allocate nothing. A node is in at most one list at a time; its owner knows in which.
 */
export class SlabList<Node extends SlabListNode<Node>> {
  #oldest: Node | undefined = undefined;
  #newest: Node | undefined = undefined;

  get oldest(): Node | undefined {
    return this.#oldest;
  }

  get newest(): Node | undefined {
    return this.#newest;
  }

  addNewest(node: Node): void {
    node.older = this.#newest;
    if (this.#newest === undefined) this.#oldest = node;
    else this.#newest.newer = node;
    this.#newest = node;
  }

  addOldest(node: Node): void {
    node.newer = this.#oldest;
    if (this.#oldest === undefined) this.#newest = node;
    else this.#oldest.older = node;
    this.#oldest = node;
  }

  remove(node: Node): void {
    const { older, newer } = node;
    assert(older !== undefined || this.#oldest === node, 'a node is removed from its own list');
    assert(newer !== undefined || this.#newest === node, 'a node is removed from its own list');
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    node.older = undefined;
    node.newer = undefined;
  }
}
