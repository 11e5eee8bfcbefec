import { mapBounded } from '../base/map-bounded.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { DeleteResult, Selection } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { CacheEntry } from '../cache/cache-entry.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { Catalog } from '../catalog/catalog.ts';
import {
  legacyObjectPrefix,
  namespaceObjectPrefix,
  parseLegacyKey,
  parseObjectKey,
} from '../format/object-keys.ts';
import type { ParsedObjectKey } from '../format/object-keys.ts';
import type { ObjectKey, ObjectStore } from '../objectstore/object-store.ts';
import type { Call } from './call.ts';
import type { ObjectTier } from './object-tier.ts';
import type { PayloadRef } from './payload-objects.ts';
import { blockRef } from './read-path.ts';
import type { Uploads } from './uploads.ts';

export interface RemovalParts {
  readonly objects: ObjectStore;
  readonly keyPrefix: string;
  readonly cache: LocalCache;
  readonly catalog: Catalog;
  readonly objectTier: ObjectTier;
  readonly uploads: Uploads;
}

/** An object of the namespace, and what its key tells. */
interface NamespaceObject {
  readonly objectKey: ObjectKey;
  readonly parsed: ParsedObjectKey;
  /** False for the v1 format, whose blocks do not name their parents. */
  readonly hasHeader: boolean;
}

/** Deletes payloads from the local tiers and the bucket, deepest blocks first. */
export class Removal {
  readonly #parts: RemovalParts;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  async delete(namespace: Namespace, selection: Selection, call: Call): Promise<DeleteResult> {
    switch (selection.kind) {
      case 'blocks':
        return this.#deleteBlocks(namespace, [...new Set(selection.keys)].reverse(), call);
      case 'subtree':
        return this.#deleteSubtree(namespace, selection.root, call);
      case 'namespace':
        return this.#deleteNamespace(namespace, call);
      default:
        return selection satisfies never;
    }
  }

  async #deleteBlocks(
    namespace: Namespace,
    keys: readonly BlockKey[],
    call: Call,
  ): Promise<DeleteResult> {
    let objects = 0;
    for (const key of keys) {
      const ref = blockRef(namespace, key);
      for (const objectKey of await call.race(this.#parts.objectTier.objectKeys(ref))) {
        const head = this.#parts.objects.head(objectKey, { signal: call.signal });
        const info = await call.race(head);
        await this.#deleteOne(ref, objectKey, call);
        if (info !== undefined) objects += 1;
      }
    }
    return { objects };
  }

  /** The block and everything whose chain of parents leads to it. */
  async #deleteSubtree(namespace: Namespace, root: BlockKey, call: Call): Promise<DeleteResult> {
    const listed = await this.#list(namespace, call);
    const parents = await this.#parentsOf(namespace, listed, call);
    const doomed = descendants(root, parents);
    let objects = 0;
    for (const { objectKey, parsed } of listed) {
      if (parsed.kind === 'block' || !doomed.has(parsed.tip)) continue;
      await this.#deleteOne(refOf(namespace, parsed), objectKey, call);
      objects += 1;
    }
    await this.#forgetLocalTails(namespace, call, (tip) => doomed.has(tip));
    const blocks = await this.#deleteBlocks(namespace, [...doomed].reverse(), call);
    return { objects: objects + blocks.objects };
  }

  async #deleteNamespace(namespace: Namespace, call: Call): Promise<DeleteResult> {
    await this.#forgetLocalTails(namespace, call, () => true);
    for (const entry of [...this.#parts.cache.entriesOf(namespace, 'block')]) {
      await this.#forget(entry, call);
    }
    const listed = await this.#list(namespace, call);
    await mapBounded(listed, limits.fetchesInFlightMax, ({ objectKey, parsed }) =>
      this.#deleteOne(refOf(namespace, parsed), objectKey, call),
    );
    return { objects: listed.length };
  }

  /** From the local tiers first: an upload under way must not bring the object back. */
  async #deleteOne(ref: PayloadRef, objectKey: ObjectKey, call: Call): Promise<void> {
    const { cache, catalog, objects } = this.#parts;
    const entry = cache.find(ref);
    if (entry !== undefined) await this.#forget(entry, call);
    await call.race(objects.delete(objectKey, { signal: call.signal }));
    if (ref.kind === 'raw-tail') await cache.forgetFetched(ref);
    catalog.noteRemoved(ref);
  }

  async #forget(entry: CacheEntry, call: Call): Promise<void> {
    await call.race(this.#parts.uploads.withdraw(entry));
    await this.#parts.cache.remove(entry);
  }

  async #forgetLocalTails(
    namespace: Namespace,
    call: Call,
    isDoomed: (tip: BlockKey) => boolean,
  ): Promise<void> {
    const { cache } = this.#parts;
    const tails = [...cache.entriesOf(namespace, 'tail')];
    const rawTails = [...cache.entriesOf(namespace, 'raw-tail')];
    for (const entry of [...tails, ...rawTails]) {
      const tip = entry.facts.kind === 'tail' ? entry.facts.parent : entry.facts.key;
      if (tip !== undefined && isDoomed(tip)) await this.#forget(entry, call);
    }
  }

  async #list(namespace: Namespace, call: Call): Promise<readonly NamespaceObject[]> {
    const { keyPrefix, objectTier } = this.#parts;
    const own = namespaceObjectPrefix(keyPrefix, namespace);
    const legacy = legacyObjectPrefix(keyPrefix, namespace);
    const readsLegacy = await call.race(objectTier.readsLegacy(namespace));
    // Most names are spelled alike in both formats: then one list has all.
    const isApart = readsLegacy && !legacy.startsWith(own);
    const found: NamespaceObject[] = [];
    for (const prefix of isApart ? [own, legacy] : [own]) {
      for await (const objectKey of this.#keysBelow(prefix, call)) {
        const parsed = parseObjectKey(keyPrefix, objectKey);
        if (parsed !== undefined) found.push({ objectKey, parsed, hasHeader: true });
        const old = readsLegacy ? parseLegacyKey(keyPrefix, objectKey) : undefined;
        if (old !== undefined) found.push({ objectKey, parsed: old, hasHeader: false });
      }
    }
    return found;
  }

  async *#keysBelow(prefix: string, call: Call): AsyncGenerator<ObjectKey, void, undefined> {
    const { objects } = this.#parts;
    let startAfter: string | undefined;
    for (;;) {
      const page = await call.race(objects.list(prefix, { startAfter, signal: call.signal }));
      for (const { key } of page.objects) yield key;
      startAfter = page.objects.at(-1)?.key;
      if (!page.isTruncated || startAfter === undefined) return;
    }
  }

  /** The parent of every block that names one, by the headers in the bucket and the local tiers. */
  async #parentsOf(
    namespace: Namespace,
    listed: readonly NamespaceObject[],
    call: Call,
  ): Promise<ReadonlyMap<BlockKey, BlockKey>> {
    const parents = new Map<BlockKey, BlockKey>();
    for (const { facts } of this.#parts.cache.entriesOf(namespace, 'block')) {
      if (facts.parent !== undefined) parents.set(facts.key, facts.parent);
    }
    await mapBounded(listed, limits.fetchesInFlightMax, async ({ parsed, hasHeader }) => {
      if (!hasHeader || parsed.kind !== 'block' || parents.has(parsed.key)) return;
      const ref = blockRef(namespace, parsed.key);
      const header = await call.race(this.#parts.objectTier.readFollowing(ref, call.signal));
      if (header?.parent !== undefined) parents.set(parsed.key, header.parent);
    });
    return parents;
  }
}

/** The root and all that lead to it, nearest first. */
function descendants(root: BlockKey, parents: ReadonlyMap<BlockKey, BlockKey>): Set<BlockKey> {
  const children = new Map<BlockKey, BlockKey[]>();
  for (const [child, parent] of parents) {
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [child]);
    else siblings.push(child);
  }
  const found = new Set<BlockKey>([root]);
  for (const key of found) for (const child of children.get(key) ?? []) found.add(child);
  return found;
}

function refOf(namespace: Namespace, parsed: ParsedObjectKey): PayloadRef {
  switch (parsed.kind) {
    case 'block':
      return blockRef(namespace, parsed.key);
    case 'raw-tail':
      return { namespace, kind: 'raw-tail', key: parsed.tip, parent: undefined, tokens: 0 };
    case 'tail': {
      const { digest, tip, tokens } = parsed;
      return { namespace, kind: 'tail', key: digest, parent: tip, tokens };
    }
    default:
      return parsed satisfies never;
  }
}
