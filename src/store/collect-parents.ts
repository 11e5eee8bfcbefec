import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { payloadKinds } from '../blocks/payload-kind.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { Inventory, NamespaceInventory, StoredObject } from './collect-inventory.ts';
import { runLanes } from './collect-lanes.ts';
import { visitInTurns } from './collect-turns.ts';
import type { Pause } from './collect-turns.ts';
import type { ChainHint } from './payload-objects.ts';

/** A header; `absent` when there is no object any more, undefined when it cannot be read. */
export type HeaderAnswer = ChainHint | 'absent' | undefined;

export interface ParentsParts {
  /** What the local tiers hold; what of it is pending keeps what it hangs on. */
  readonly cache: Pick<LocalCache, 'entriesOf'>;
  readonly readHeader: (block: StoredObject) => Promise<HeaderAnswer>;
  readonly pause: Pause;
}

/**
 * Which block comes before which. Learned, in this order, from earlier collections, from the local
 * tiers, and from headers in the bucket; a header tells of up to 63 more blocks by its list of
 * following keys, so that most need not be read.
 */
export class Parents {
  readonly #parts: ParentsParts;
  /** What earlier collections learned about blocks that were there then. */
  #remembered = new Map<Namespace, ReadonlyMap<BlockKey, BlockKey | undefined>>();

  constructor(parts: ParentsParts) {
    this.#parts = parts;
  }

  /** Learns the parents of all blocks of the namespace and links its objects. */
  async learn(objects: NamespaceInventory, inventory: Inventory): Promise<void> {
    await this.#recall(objects);
    const unknown = [...objects.blocks.values()].filter(({ isParentKnown }) => !isParentKnown);
    // Uploads bring the block with the longest list last. Reading the newest first reads it early;
    // a lane has a stretch of its own, so that it does not read what the list of another tells.
    unknown.sort((a, b) => b.modifiedMs - a.modifiedMs);
    const unreadable = new Set<StoredObject>();
    const stretch = Math.ceil(unknown.length / limits.fetchesInFlightMax);
    const nextOf = Array.from({ length: limits.fetchesInFlightMax }, (_, lane) => lane * stretch);
    await runLanes(async (lane) => {
      const end = Math.min((lane + 1) * stretch, unknown.length);
      while (nextOf[lane] < end && unknown[nextOf[lane]].isParentKnown) nextOf[lane] += 1;
      if (nextOf[lane] >= end) return false;
      const block = unknown[nextOf[lane]];
      const header = await this.#parts.readHeader(block);
      block.isParentKnown = true;
      if (header === 'absent') inventory.drop(block);
      else if (header === undefined) unreadable.add(block);
      else takeHeader(block, header, objects);
      return true;
    });
    await this.#remember(objects, unreadable);
    await objects.link(this.#parts.pause);
    await this.#holdAbovePending(objects);
  }

  /** Forgets namespaces that the inventory does not have any more. */
  forgetOthers(inventory: Inventory): void {
    for (const namespace of this.#remembered.keys()) {
      if (!inventory.namespaces.has(namespace)) this.#remembered.delete(namespace);
    }
  }

  async #recall(objects: NamespaceInventory): Promise<void> {
    const { cache, pause } = this.#parts;
    const remembered = this.#remembered.get(objects.namespace) ?? [];
    await visitInTurns(remembered, pause, ([key, parent]) => {
      const block = objects.blocks.get(key);
      if (block !== undefined) takeParent(block, parent);
    });
    await visitInTurns(cache.entriesOf(objects.namespace, 'block'), pause, ({ facts }) => {
      const block = objects.blocks.get(facts.key);
      if (block !== undefined) takeParent(block, facts.parent);
    });
  }

  /** Replaces what was remembered, so that it never holds more than one listing. */
  async #remember(
    objects: NamespaceInventory,
    unreadable: ReadonlySet<StoredObject>,
  ): Promise<void> {
    const parents = new Map<BlockKey, BlockKey | undefined>();
    await visitInTurns(objects.blocks.values(), this.#parts.pause, (block) => {
      // A corrupt object may be replaced by one that can be read.
      if (!unreadable.has(block)) parents.set(block.key, block.parent);
    });
    this.#remembered.set(objects.namespace, parents);
  }

  /** What waits for its upload hangs on its block like an object, one that is never removed. */
  async #holdAbovePending(objects: NamespaceInventory): Promise<void> {
    const { cache, pause } = this.#parts;
    for (const kind of payloadKinds) {
      await visitInTurns(cache.entriesOf(objects.namespace, kind), pause, (entry) => {
        const tip = kind === 'raw-tail' ? entry.facts.key : entry.facts.parent;
        if (entry.isPending && tip !== undefined) objects.blocks.get(tip)?.addChild();
      });
    }
  }
}

function takeHeader(block: StoredObject, header: ChainHint, objects: NamespaceInventory): void {
  takeParent(block, header.parent);
  let previous = block.key;
  for (const key of header.following) {
    const follower = objects.blocks.get(key);
    if (follower !== undefined) takeParent(follower, previous);
    previous = key;
  }
}

/** The first parent that anybody names is kept; naming none leaves it open to others. */
function takeParent(block: StoredObject, parent: BlockKey | undefined): void {
  block.parent ??= parent;
  block.isParentKnown = true;
}
