import { assert } from '../base/assert.ts';
import { isStoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Borrow, LoadedBlock, LoadOptions } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { KeptBlocks, LoadRest } from './kept-blocks.ts';

/** What one load brought, on loan as long as anything of it is kept or used. */
interface Group {
  readonly borrow: Borrow;
  readonly bytes: number;
  /** The fingerprint that the load asked for. */
  readonly fingerprint: string | undefined;
  readonly namespace: Namespace;
  /** Names of the blocks by which the index knows it. */
  readonly names: Set<string>;
  /** Borrows that use it. */
  pins: number;
  isKept: boolean;
}

interface Place {
  readonly group: Group;
  readonly block: LoadedBlock;
}

/**
 * Blocks that a client has read from a daemon, kept in its own memory within a budget. What one load
 * brought is kept and dropped together: its memory is the borrow that the client gave, so nothing is
 * copied. What was not used for longest goes first; what is borrowed stays, and counts.
 */
export class NearCache implements KeptBlocks {
  readonly #budgetBytes: number;
  readonly #places = new Map<string, Place>();
  /** In order of their last use. */
  readonly #groups = new Set<Group>();
  #bytes = 0;
  /** Counts what was forgotten: a load that began before must not bring it back. */
  #generation = 0;

  constructor(budgetBytes: number) {
    assert(
      Number.isSafeInteger(budgetBytes) && budgetBytes > 0,
      `near-cache of ${budgetBytes} bytes`,
    );
    this.#budgetBytes = budgetBytes;
  }

  /** Bytes of payloads that are kept, or were when somebody borrowed them. */
  get bytes(): number {
    return this.#bytes;
  }

  async load(
    namespace: Namespace,
    keys: readonly BlockKey[],
    options: LoadOptions | undefined,
    loadRest: LoadRest,
  ): Promise<Borrow> {
    const kept = this.#take(namespace, keys, options);
    const blocks = kept.map(({ block }) => block);
    const groups = [...new Set(kept.map(({ group }) => group))];
    if (keys.length > 0 && kept.length === keys.length)
      return this.#lend(blocks, groups, undefined);
    const generation = this.#generation;
    try {
      const rest = await loadRest(kept.length === 0 ? keys : keys.slice(kept.length));
      const group = this.#groupOf(namespace, rest, options?.fingerprint);
      if (generation === this.#generation) this.#keep(group);
      return this.#lend([...blocks, ...rest.blocks], [...groups, group], rest.reason);
    } catch (error) {
      if (kept.length > 0 && isStoreError(error, 'UNAVAILABLE')) {
        return this.#lend(blocks, groups, 'unavailable');
      }
      for (const group of groups) this.#unpin(group);
      throw error;
    }
  }

  forget(namespace: Namespace, keys?: readonly BlockKey[]): Promise<void> {
    this.#generation += 1;
    for (const group of [...this.#groups]) {
      if (group.namespace !== namespace) continue;
      const names =
        keys === undefined ? [...group.names] : keys.map((key) => nameOf(namespace, key));
      for (const name of names) {
        if (group.names.delete(name)) this.#places.delete(name);
      }
      if (group.names.size === 0) this.#drop(group);
    }
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#generation += 1;
    for (const group of [...this.#groups]) this.#drop(group);
    return Promise.resolve();
  }

  /** The leading blocks that are kept and wanted, each group of them pinned once. */
  #take(
    namespace: Namespace,
    keys: readonly BlockKey[],
    options: LoadOptions | undefined,
  ): readonly Place[] {
    const taken: Place[] = [];
    const pinned = new Set<Group>();
    for (const key of keys) {
      const place = this.#places.get(nameOf(namespace, key));
      if (place === undefined || !isWanted(place, options)) break;
      taken.push(place);
      pinned.add(place.group);
    }
    for (const group of pinned) {
      group.pins += 1;
      this.#groups.delete(group);
      this.#groups.add(group);
    }
    return taken;
  }

  #groupOf(namespace: Namespace, borrow: Borrow, fingerprint: string | undefined): Group {
    const bytes = borrow.blocks.reduce((sum, { payload }) => sum + payload.length, 0);
    const names = new Set<string>();
    return { borrow, bytes, fingerprint, namespace, names, pins: 1, isKept: false };
  }

  /** Keeps what nobody else has brought meanwhile, if there is room for it. */
  #keep(group: Group): void {
    const fresh = group.borrow.blocks.filter(
      ({ key }) => !this.#places.has(nameOf(group.namespace, key)),
    );
    if (fresh.length === 0 || !this.#makeRoom(group.bytes)) return;
    for (const block of fresh) {
      const name = nameOf(group.namespace, block.key);
      group.names.add(name);
      // Wherever the daemon had it: from now on it comes from memory.
      this.#places.set(name, { group, block: { ...block, tier: 'memory' } });
    }
    group.isKept = true;
    this.#groups.add(group);
    this.#bytes += group.bytes;
  }

  #makeRoom(bytes: number): boolean {
    if (bytes > this.#budgetBytes) return false;
    for (const group of [...this.#groups]) {
      if (this.#bytes + bytes <= this.#budgetBytes) break;
      if (group.pins === 0) this.#drop(group);
    }
    return this.#bytes + bytes <= this.#budgetBytes;
  }

  #drop(group: Group): void {
    for (const name of group.names) this.#places.delete(name);
    group.names.clear();
    this.#groups.delete(group);
    if (group.pins === 0) this.#end(group);
  }

  #unpin(group: Group): void {
    group.pins -= 1;
    assert(group.pins >= 0, 'a group is given back as often as it was lent');
    if (group.pins === 0 && !this.#groups.has(group)) this.#end(group);
  }

  /** Nobody uses the group and nobody will. */
  #end(group: Group): void {
    if (group.isKept) this.#bytes -= group.bytes;
    group.isKept = false;
    group.borrow.release();
  }

  #lend(
    blocks: readonly LoadedBlock[],
    groups: readonly Group[],
    reason: Borrow['reason'],
  ): Borrow {
    const lent = [...groups];
    return {
      blocks,
      reason,
      release: () => {
        for (const group of lent.splice(0)) this.#unpin(group);
      },
    };
  }
}

/**
 * Only a block that was loaded for the fingerprint is known to be of it. One that is not wanted is asked
 * for, and the daemon says why it is none.
 */
function isWanted({ group, block }: Place, options: LoadOptions | undefined): boolean {
  if (options?.exact === true && block.hasDecodedTokens) return false;
  return options?.fingerprint === undefined || options.fingerprint === group.fingerprint;
}

function nameOf(namespace: Namespace, key: BlockKey): string {
  return `${key}${namespace}`;
}
