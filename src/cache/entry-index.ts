import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { CacheEntry, PayloadId } from './cache-entry.ts';

/** The maps of one namespace. `tailsByTip` leads from a tip to its tails, which `tail` holds too. */
interface NamespaceEntries extends Readonly<Record<PayloadKind, Map<BlockKey, CacheEntry>>> {
  readonly tailsByTip: Map<BlockKey, Set<CacheEntry>>;
}

/** Entries by namespace, kind and key: each namespace has maps of its own, so tenants cannot meet. */
export class EntryIndex {
  readonly #namespaces = new Map<Namespace, NamespaceEntries>();
  #size = 0;

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  find(id: PayloadId): CacheEntry | undefined {
    return this.#namespaces.get(id.namespace)?.[id.kind].get(id.key);
  }

  /** Puts the entry in; returns the one whose place it took. */
  put(entry: CacheEntry): CacheEntry | undefined {
    const { namespace, kind, key } = entry.facts;
    const replaced = this.find(entry.facts);
    if (replaced !== undefined) this.remove(replaced);
    let maps = this.#namespaces.get(namespace);
    if (maps === undefined) {
      maps = { block: new Map(), tail: new Map(), 'raw-tail': new Map(), tailsByTip: new Map() };
      this.#namespaces.set(namespace, maps);
    }
    maps[kind].set(key, entry);
    this.#size += 1;
    if (kind === 'tail') addTail(maps.tailsByTip, entry);
    return replaced;
  }

  /** Takes the entry out, if it is the one in its place. */
  remove(entry: CacheEntry): void {
    const { namespace, kind, key } = entry.facts;
    const maps = this.#namespaces.get(namespace);
    if (maps === undefined || maps[kind].get(key) !== entry) return;
    maps[kind].delete(key);
    this.#size -= 1;
    if (kind === 'tail') removeTail(maps.tailsByTip, entry);
    if (maps.block.size + maps.tail.size + maps['raw-tail'].size === 0) {
      this.#namespaces.delete(namespace);
    }
  }

  /** Entries of a kind in a namespace. */
  of(namespace: Namespace, kind: PayloadKind): Iterable<CacheEntry> {
    return this.#namespaces.get(namespace)?.[kind].values() ?? [];
  }

  /** Tails that continue the chain with that tip. */
  tailsOf(namespace: Namespace, tip: BlockKey): Iterable<CacheEntry> {
    return this.#namespaces.get(namespace)?.tailsByTip.get(tip) ?? [];
  }
}

function addTail(tailsByTip: Map<BlockKey, Set<CacheEntry>>, entry: CacheEntry): void {
  const tip = entry.facts.parent;
  if (tip === undefined) return;
  const tails = tailsByTip.get(tip);
  if (tails === undefined) tailsByTip.set(tip, new Set([entry]));
  else tails.add(entry);
}

function removeTail(tailsByTip: Map<BlockKey, Set<CacheEntry>>, entry: CacheEntry): void {
  const tip = entry.facts.parent;
  const tails = tip === undefined ? undefined : tailsByTip.get(tip);
  if (tip === undefined || tails === undefined) return;
  tails.delete(entry);
  if (tails.size === 0) tailsByTip.delete(tip);
}
