import { BoundedMap } from '../base/bounded-map.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { ObjectFormat } from '../format/object-keys.ts';
import type { Clock } from '../platform/clock.ts';

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
  readonly #present = new BoundedMap<string, Presence>(limits.catalogKeysMax);
  /** Until when an absence is believed. */
  readonly #absent = new BoundedMap<string, number>(limits.negativeKeysMax);
  readonly #corrupt = new BoundedMap<string, CorruptObject & { readonly until: number }>(
    limits.corruptKeysMax,
  );
  /** What was dropped or removed for lack of room, until it is seen again. */
  readonly #evicted = new BoundedMap<string, true>(limits.evictedKeysMax);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  presence(id: CatalogId): Presence | undefined {
    return this.#present.get(idText(id));
  }

  /** True when the object store said so less than a second ago. */
  isAbsent(id: CatalogId): boolean {
    const until = this.#absent.get(idText(id));
    return until !== undefined && until > this.#clock.nowMs();
  }

  /** The corrupt object under the key, while it is remembered. */
  corruptObject(id: CatalogId): CorruptObject | undefined {
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
    this.#present.set(text, 'confirmed');
  }

  /** A list of following keys names it. What was asked for itself a moment ago is known better. */
  hope(id: CatalogId): void {
    if (this.isAbsent(id) || this.corruptObject(id) !== undefined) return;
    const text = idText(id);
    if (this.#present.get(text) === undefined) this.#present.set(text, 'listed');
  }

  /** The object store does not hold it: an answer said so. It was removed if one said otherwise. */
  deny(id: CatalogId): void {
    const text = idText(id);
    if (this.#present.get(text) === 'confirmed') this.#evicted.set(text, true);
    this.#present.delete(text);
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
    this.#present.delete(text);
    this.#corrupt.set(text, { format, etag, until: this.#clock.nowMs() + limits.corruptMs });
  }

  /** Nothing is known about it any more. */
  forget(id: CatalogId): void {
    const text = idText(id);
    this.#present.delete(text);
    this.#absent.delete(text);
    this.#corrupt.delete(text);
    this.#evicted.delete(text);
  }
}

/** Kind and key have fixed lengths, so no two ids share a text. */
function idText(id: CatalogId): string {
  return `${id.kind.charAt(0)}${id.key}${id.namespace}`;
}
