import { assert } from '../base/assert.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import { parseLegacyKey, parseObjectKey } from '../format/object-keys.ts';
import type { ObjectFormat, ParsedObjectKey } from '../format/object-keys.ts';
import type { ObjectInfo } from '../objectstore/object-store.ts';
import { visitInTurns } from './collect-turns.ts';
import type { Pause } from './collect-turns.ts';
import type { PayloadRef } from './payload-objects.ts';

/** An object of the listing that may be removed, and its place in the forest of chains. */
export class StoredObject implements PayloadRef {
  readonly format: ObjectFormat;
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
  /** The object of the other format that holds the same payload and counts instead of it. */
  twin: StoredObject | undefined;
  /** How many objects hang on it that are not removed yet, and that are not planned yet. */
  children = 0;
  unplanned = 0;
  /** The walk that came here first, when circles are looked for; 0: none. */
  walk = 0;
  /** Its place in the plan, when it is to be removed. */
  planIndex: number | undefined;

  constructor(parsed: ParsedObjectKey, info: ObjectInfo, format: ObjectFormat) {
    this.format = format;
    this.namespace = parsed.namespace;
    this.kind = parsed.kind;
    this.key = keyOf(parsed);
    this.tokens = parsed.kind === 'tail' ? parsed.tokens : 0;
    this.byteLength = info.byteLength;
    this.modifiedMs = info.modifiedMs;
    this.usedMs = info.modifiedMs;
    this.parent = parsed.kind === 'block' ? undefined : parsed.tip;
    // An object of the v1 format has no header that would tell it.
    this.isParentKnown = parsed.kind !== 'block' || format === 'v1';
    this.above = undefined;
    this.twin = undefined;
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
  /** Tails and raw tails, and blocks that have a twin. */
  readonly tails: StoredObject[] = [];
  readonly #rawTails = new Map<BlockKey, StoredObject>();
  /** The earliest last use of any of them. */
  oldestUseMs = Infinity;

  constructor(namespace: Namespace) {
    this.namespace = namespace;
  }

  /** Takes an object in. What two objects hold goes with the second of them. */
  add(object: StoredObject): void {
    this.oldestUseMs = Math.min(this.oldestUseMs, object.usedMs);
    if (object.kind === 'tail') {
      this.tails.push(object);
      return;
    }
    const places = object.kind === 'block' ? this.blocks : this.#rawTails;
    const other = places.get(object.key);
    const isFirst = other === undefined || countsBefore(object, other);
    if (isFirst) places.set(object.key, object);
    if (other !== undefined) {
      const [counting, twin] = isFirst ? [object, other] : [other, object];
      twin.twin = counting;
      if (twin.kind === 'block') this.tails.push(twin);
    }
    if (object.kind === 'raw-tail') this.tails.push(object);
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
      const block = tail.parent === undefined ? undefined : this.blocks.get(tail.parent);
      tail.above = tail.twin ?? block;
      tail.above?.addChild();
    });
  }

  /** Objects that nothing hangs on, once they are linked. */
  *leaves(): Generator<StoredObject, void, undefined> {
    for (const tail of this.tails) if (tail.children === 0) yield tail;
    for (const block of this.blocks.values()) if (block.children === 0) yield block;
  }
}

/**
 * What one listing of the bucket found. Objects of the v1 format where that is not read, and
 * everything that this version does not know, count with their bytes and are never removed.
 */
export class Inventory {
  readonly #keyPrefix: string;
  readonly #readsLegacy: boolean;
  readonly namespaces = new Map<Namespace, NamespaceInventory>();
  /** Bytes of all objects under the key prefix. */
  bytes = 0;
  /** Those of objects that may be removed. */
  removableBytes = 0;
  #size = 0;

  constructor(keyPrefix: string, readsLegacy: boolean) {
    this.#keyPrefix = keyPrefix;
    this.#readsLegacy = readsLegacy;
  }

  /** Takes an object in; `lastUseMs` tells when this process last used it. */
  add(info: ObjectInfo, lastUseMs: (object: StoredObject) => number): void {
    this.bytes += info.byteLength;
    if (this.#size === limits.collectObjectsMax) return;
    const object = this.#parse(info);
    if (object === undefined) return;
    object.usedMs = Math.max(object.modifiedMs, lastUseMs(object));
    this.#namespaceOf(object.namespace).add(object);
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

  #parse(info: ObjectInfo): StoredObject | undefined {
    const parsed = parseObjectKey(this.#keyPrefix, info.key);
    if (parsed !== undefined) return new StoredObject(parsed, info, 'v2');
    const legacy = this.#readsLegacy ? parseLegacyKey(this.#keyPrefix, info.key) : undefined;
    return legacy === undefined ? undefined : new StoredObject(legacy, info, 'v1');
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

/**
 * Which of two objects of one payload stays longer. Of a raw tail the newer one: without it the older
 * one would count again. Of a block that of our own format, for its header tells of the chain.
 */
function countsBefore(object: StoredObject, other: StoredObject): boolean {
  if (object.kind === 'block') return object.format === 'v2';
  if (object.modifiedMs !== other.modifiedMs) return object.modifiedMs > other.modifiedMs;
  return object.format === 'v2';
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
