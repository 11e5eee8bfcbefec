import { assert } from '../base/assert.ts';
import { BoundedMap } from '../base/bounded-map.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { payloadKinds } from '../blocks/payload-kind.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { CatalogOwner, CatalogSnapshot } from '../format/catalog-snapshot.ts';
import type { ObjectFormat } from '../format/object-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import { KnownTable, shardCount } from './known-table.ts';
import type { SharedKnown } from './shared-known.ts';
import { ownerMost } from './tag-shard.ts';

/**
 * - `confirmed`: an answer of the object store told that the object is there.
 * - `listed`: another object's list of following keys says so. It was true when it was written.
 */
export type Presence = 'confirmed' | 'listed';

/** Names a payload in the object store. */
export interface CatalogId {
  readonly namespace: Namespace;
  readonly kind: PayloadKind;
  readonly key: BlockKey;
}

/** An object that failed a check. */
export interface CorruptObject {
  readonly format: ObjectFormat;
  readonly etag: string;
}

/**
 * What this process believes about the object store: which payloads are there, which were absent a
 * moment ago, and which objects are corrupt. Beliefs are hopes: whoever acts on one reports what it
 * found. All of it is bounded and may be forgotten at any time.
 */
export class Catalog {
  readonly #clock: Clock;
  /** Marked: confirmed. Unmarked: listed. */
  readonly #present: KnownTable;
  /** The number of each namespace and kind in the table. Numbers are not given twice. */
  #owners = noOwners();
  #lastOwner = 0;
  /** Where other processes read what is believed present, if they do. */
  #shared: SharedKnown | undefined;
  /** Until when an absence is believed. */
  readonly #absent = new BoundedMap<string, number>(limits.negativeKeysMax);
  readonly #corrupt = new BoundedMap<string, CorruptObject & { readonly until: number }>(
    limits.corruptKeysMax,
  );
  /** What was dropped or removed for lack of room, until it is seen again. */
  readonly #evicted = new BoundedMap<string, true>(limits.evictedKeysMax);

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#present = new KnownTable(limits.catalogKeysMax, random);
  }

  /** Payloads believed present, and the memory that remembering them takes. */
  get known(): { readonly keys: number; readonly byteLength: number } {
    return { keys: this.#present.size, byteLength: this.#present.byteLength };
  }

  /** What it believes present, for {@link Catalog.recall}. Good until the catalog changes. */
  get snapshot(): CatalogSnapshot {
    const owners: CatalogOwner[] = [];
    for (const kind of payloadKinds) {
      for (const [namespace, number] of this.#owners[kind].entries())
        owners.push({ number, kind, namespace });
    }
    return { ...this.#present.image, owners };
  }

  /**
   * Believes what an earlier process did, as listed: it may have changed since. False, and nothing is
   * changed, when the snapshot is not of such a catalog. Only a catalog that knows nothing yet can.
   */
  recall(snapshot: CatalogSnapshot): boolean {
    assert(this.#lastOwner === 0, 'a catalog recalls before it learns');
    const last = snapshot.owners.reduce((most, { number }) => Math.max(most, number), 0);
    if (last > ownerMost || !this.#present.recall(snapshot)) return false;
    for (const { number, kind, namespace } of snapshot.owners) {
      this.#owners[kind].set(namespace, number);
    }
    this.#lastOwner = last;
    return true;
  }

  /** What {@link Catalog.share} takes is made of these. */
  get sharing(): { readonly mix: Int32Array; readonly shardSlotsMax: number } {
    return { mix: this.#present.image.mix, shardSlotsMax: this.#present.shardSlotsMax };
  }

  /**
   * Lets other processes read what it believes present, from now on, one part of the keys after the other: after each
   * step those whose part was taken. Ends when all were, or there is no room for more. Once, by a catalog that recalls
   * nothing any more.
   */
  *share(shared: SharedKnown): Generator<void, void, void> {
    assert(this.#shared === undefined, 'a catalog is shared once');
    this.#shared = shared;
    for (const [namespace, number] of this.#owners.block.entries())
      shared.setOwner(namespace, number);
    for (let shard = 0; shard < shardCount && this.#shared === shared; shard += 1) {
      if (!this.#present.share(shard, shared.tags(shard))) return;
      yield;
    }
  }

  presence({ namespace, kind, key }: CatalogId): Presence | undefined {
    const owner = this.#owners[kind].get(namespace);
    const known = owner === undefined ? undefined : this.#present.get(owner, key);
    if (known === undefined) return undefined;
    return known === 'marked' ? 'confirmed' : 'listed';
  }

  /** How many blocks of the chain from that index on it believes present, up to the first that it does not. */
  leadingBlocks(namespace: Namespace, keys: readonly BlockKey[], from: number): number {
    const owner = this.#owners.block.get(namespace);
    return owner === undefined ? 0 : this.#present.leading(owner, keys, from);
  }

  /** True when the object store said so less than a second ago. */
  isAbsent(id: CatalogId): boolean {
    if (this.#absent.size === 0) return false;
    const until = this.#absent.get(idText(id));
    return until !== undefined && until > this.#clock.nowMs();
  }

  /** The corrupt object under the key, while it is remembered. */
  corruptObject(id: CatalogId): CorruptObject | undefined {
    if (this.#corrupt.size === 0) return undefined;
    const corrupt = this.#corrupt.get(idText(id));
    return corrupt !== undefined && corrupt.until > this.#clock.nowMs() ? corrupt : undefined;
  }

  /** Why it is absent, for the one who asked: it was there once, or nobody knows of it. */
  absenceReason(id: CatalogId): 'evicted' | 'unknown' {
    return this.#evicted.get(idText(id)) === true ? 'evicted' : 'unknown';
  }

  /** It was dropped here, or removed from the object store, for lack of room. */
  noteEvicted(id: CatalogId): void {
    this.#evicted.set(idText(id), true);
  }

  /** The object store holds it: an answer said so. */
  confirm(id: CatalogId): void {
    const text = idText(id);
    this.#evicted.delete(text);
    this.#absent.delete(text);
    this.#corrupt.delete(text);
    this.#present.addMarked(this.#ownerOf(id), id.key);
  }

  /** A list of following keys names it. What was asked for itself a moment ago is known better. */
  hope(id: CatalogId): void {
    if (this.isAbsent(id) || this.corruptObject(id) !== undefined) return;
    this.#present.add(this.#ownerOf(id), id.key);
  }

  /** The object store does not hold it: an answer said so. It was removed if one said otherwise. */
  deny(id: CatalogId): void {
    const text = idText(id);
    if (this.presence(id) === 'confirmed') this.#evicted.set(text, true);
    this.#dropPresence(id);
    this.#corrupt.delete(text);
    this.#absent.set(text, this.#clock.nowMs() + limits.negativeMs);
  }

  /** A caller had it removed: it is absent, as if it had never been there. */
  noteRemoved(id: CatalogId): void {
    this.deny(id);
    this.#evicted.delete(idText(id));
  }

  /** Its object of that tag failed a check: it counts as absent until it is replaced. */
  condemn(id: CatalogId, { format, etag }: CorruptObject): void {
    const text = idText(id);
    this.#dropPresence(id);
    this.#corrupt.set(text, { format, etag, until: this.#clock.nowMs() + limits.corruptMs });
  }

  /** Nothing is known about it any more. */
  forget(id: CatalogId): void {
    const text = idText(id);
    this.#dropPresence(id);
    this.#absent.delete(text);
    this.#corrupt.delete(text);
    this.#evicted.delete(text);
  }

  #dropPresence({ namespace, kind, key }: CatalogId): void {
    const owner = this.#owners[kind].get(namespace);
    if (owner !== undefined) this.#present.remove(owner, key);
  }

  /** A namespace that was forgotten gets a new number: what is in the table for the old one ages. */
  #ownerOf({ namespace, kind }: CatalogId): number {
    const known = this.#owners[kind].get(namespace);
    if (known !== undefined) return known;
    if (this.#lastOwner === ownerMost) {
      // Numbers come again from here on, so nobody else reads them.
      this.#present.clear();
      this.#shared = undefined;
      this.#owners = noOwners();
      this.#lastOwner = 0;
    }
    this.#lastOwner += 1;
    const forgotten = this.#owners[kind].set(namespace, this.#lastOwner);
    if (kind === 'block') {
      if (forgotten !== undefined) this.#shared?.setOwner(forgotten, 0);
      this.#shared?.setOwner(namespace, this.#lastOwner);
    }
    return this.#lastOwner;
  }
}

function noOwners(): Readonly<Record<PayloadKind, BoundedMap<Namespace, number>>> {
  return {
    block: new BoundedMap(limits.catalogNamespacesMax),
    tail: new BoundedMap(limits.catalogNamespacesMax),
    'raw-tail': new BoundedMap(limits.catalogNamespacesMax),
  };
}

/** Kind and key have fixed lengths, so no two ids share a text. */
function idText(id: CatalogId): string {
  return `${id.kind.charAt(0)}${id.key}${id.namespace}`;
}
