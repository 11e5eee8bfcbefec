import { assert } from '../base/assert.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import { parseObjectKey } from '../format/object-keys.ts';
import type { ParsedObjectKey } from '../format/object-keys.ts';
import type { ObjectInfo } from '../objectstore/object-store.ts';
import { visitInTurns } from './collect-turns.ts';
import type { Pause } from './collect-turns.ts';
import type { PayloadRef } from './payload-objects.ts';

/** An object of the listing that may be removed, and its place in the forest of chains. */
export class StoredObject implements PayloadRef {
  readonly namespace: Namespace;
  readonly kind: PayloadKind;
  readonly key: BlockKey;
  readonly tokens: number;
  readonly byteLength: number;
  readonly modifiedMs: number;
  /** When it was written or, as far as this process knows, last used; the later of the two. */
  usedMs: number;
  /** Block: the key before it, once learned and if anybody knows. Tail: its tip. */
  parent: BlockKey | undefined;
  /** True when nothing more can be learned about its parent. */
  isParentKnown: boolean;
  /** The block that it hangs on, when that is in the listing too. */
  above: StoredObject | undefined;
  /** How many objects hang on it that are not removed yet, and that are not planned yet. */
  children = 0;
  unplanned = 0;
  /** The walk that came here first, when circles are looked for; 0: none. */
  walk = 0;
  /** Its place in the plan, when it is to be removed. */
  planIndex: number | undefined;

  constructor(parsed: ParsedObjectKey, info: ObjectInfo) {
    this.namespace = parsed.namespace;
    this.kind = parsed.kind;
    this.key = keyOf(parsed);
    this.tokens = parsed.kind === 'tail' ? parsed.tokens : 0;
    this.byteLength = info.byteLength;
    this.modifiedMs = info.modifiedMs;
    this.usedMs = info.modifiedMs;
    this.parent = parsed.kind === 'block' ? undefined : parsed.tip;
    this.isParentKnown = parsed.kind !== 'block';
    this.above = undefined;
    this.planIndex = undefined;
  }

  addChild(): void {
    this.children += 1;
    this.unplanned += 1;
  }

  /** A child is to be removed. True when it was the last one that was not. */
  planChild(): boolean {
    assert(this.unplanned > 0, 'every child is planned once');
    this.unplanned -= 1;
    return this.unplanned === 0;
  }

  /** A child was removed. True when it was the last one. */
  removeChild(): boolean {
    assert(this.children > 0, 'every child is removed once');
    this.children -= 1;
    return this.children === 0;
  }

  /** The key under which its uses are noted: tails are asked for by their tip. */
  get useKey(): BlockKey {
    return this.kind === 'tail' && this.parent !== undefined ? this.parent : this.key;
  }
}

/** The removable objects of one namespace. */
export class NamespaceInventory {
  readonly namespace: Namespace;
  readonly blocks = new Map<BlockKey, StoredObject>();
  /** Tails and raw tails. */
  readonly tails: StoredObject[] = [];
  /** The earliest last use of any of them. */
  oldestUseMs = Infinity;

  constructor(namespace: Namespace) {
    this.namespace = namespace;
  }

  /**
   * Hangs every object on the one above it. Parents are hints of writers: where they lead round in a
   * circle it is cut, so that every object can be reached from a leaf.
   */
  async link(pause: Pause): Promise<void> {
    const blocks = [...this.blocks.values()];
    await visitInTurns(blocks, pause, (block) => {
      block.above = block.parent === undefined ? undefined : this.blocks.get(block.parent);
    });
    let walk = 0;
    await visitInTurns(blocks, pause, (block) => {
      walk += 1;
      cutCircle(block, walk);
    });
    await visitInTurns(blocks, pause, ({ above }) => above?.addChild());
    await visitInTurns(this.tails, pause, (tail) => {
      tail.above = tail.parent === undefined ? undefined : this.blocks.get(tail.parent);
      tail.above?.addChild();
    });
  }

  /** Objects that nothing hangs on, once they are linked. */
  *leaves(): Generator<StoredObject, void, undefined> {
    yield* this.tails;
    for (const block of this.blocks.values()) if (block.children === 0) yield block;
  }
}

/**
 * What one listing of the bucket found. Objects of the v1 format and everything that this version
 * does not know count with their bytes and are never removed.
 */
export class Inventory {
  readonly namespaces = new Map<Namespace, NamespaceInventory>();
  /** Bytes of all objects under the key prefix. */
  bytes = 0;
  /** Those of objects that may be removed. */
  removableBytes = 0;
  #size = 0;

  /** Takes an object in; `lastUseMs` tells when this process last used it. */
  add(info: ObjectInfo, keyPrefix: string, lastUseMs: (object: StoredObject) => number): void {
    this.bytes += info.byteLength;
    const parsed = parseObjectKey(keyPrefix, info.key);
    if (parsed === undefined || this.#size === limits.collectObjectsMax) return;
    const object = new StoredObject(parsed, info);
    object.usedMs = Math.max(object.modifiedMs, lastUseMs(object));
    const inventory = this.#namespaceOf(object.namespace);
    if (object.kind === 'block') inventory.blocks.set(object.key, object);
    else inventory.tails.push(object);
    inventory.oldestUseMs = Math.min(inventory.oldestUseMs, object.usedMs);
    this.removableBytes += object.byteLength;
    this.#size += 1;
  }

  /** The block turned out to be gone since the listing. */
  drop(block: StoredObject): void {
    const isThere = this.namespaces.get(block.namespace)?.blocks.delete(block.key);
    assert(isThere === true, 'what is dropped was listed');
    this.bytes -= block.byteLength;
    this.removableBytes -= block.byteLength;
    this.#size -= 1;
  }

  #namespaceOf(namespace: Namespace): NamespaceInventory {
    let inventory = this.namespaces.get(namespace);
    if (inventory === undefined) {
      inventory = new NamespaceInventory(namespace);
      this.namespaces.set(namespace, inventory);
    }
    return inventory;
  }
}

function keyOf(parsed: ParsedObjectKey): BlockKey {
  switch (parsed.kind) {
    case 'block':
      return parsed.key;
    case 'tail':
      return parsed.digest;
    case 'raw-tail':
      return parsed.tip;
    default:
      return parsed satisfies never;
  }
}

/** Walks up to where a walk has been before; one that meets itself has gone round a circle. */
function cutCircle(start: StoredObject, walk: number): void {
  let at: StoredObject | undefined = start;
  while (at !== undefined && at.walk === 0) {
    at.walk = walk;
    at = at.above;
  }
  if (at?.walk === walk) at.above = undefined;
}
