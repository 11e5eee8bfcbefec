import { crc32c } from '../base/crc32c.ts';
import { isStoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Borrow, LoadedBlock, LoadOptions } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { CacheEntry, PayloadFacts } from '../cache/cache-entry.ts';
import { EntryIndex } from '../cache/entry-index.ts';
import type { Extent } from '../cache/extent.ts';
import { LocalCache } from '../cache/local-cache.ts';
import type { SharedTier } from '../cache/shared-tier.ts';
import { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import type { Clock } from '../platform/clock.ts';
import type { KeptBlocks, LoadRest } from './kept-blocks.ts';

/**
 * Stands for the fingerprint of blocks that were loaded for none, so that readers of the memory who
 * ask for one take them for another model's: theirs is 64 digits.
 */
const fingerprintUnasked = 'none asked for';

/** What a load asked for, and when. */
interface LoadOrigin {
  readonly namespace: Namespace;
  readonly fingerprint: string;
  readonly generation: number;
}

interface Kept {
  readonly entry: CacheEntry;
  readonly extent: Extent;
  readonly payload: Uint8Array;
}

/**
 * A near-cache in memory that other processes of the host read where it lies, as they read a store's
 * (docs/decisions/0115). What a load brings is copied there, so each block is kept and evicted by
 * itself.
 */
export class NearMemory implements KeptBlocks {
  readonly #shared: SharedTier;
  readonly #clock: Clock;
  readonly #cache: LocalCache;
  /** Counts what was forgotten: a load that began before must not bring it back. */
  #generation = 0;

  /** Owns the tier from now on. */
  constructor(shared: SharedTier, budgetBytes: number, clock: Clock) {
    const memory = new SlabMemoryTier(budgetBytes, (length) => shared.take(length), shared);
    const index = new EntryIndex();
    this.#shared = shared;
    this.#clock = clock;
    this.#cache = new LocalCache({ memory, index, disk: undefined, clock, shared });
  }

  async load(
    namespace: Namespace,
    keys: readonly BlockKey[],
    options: LoadOptions | undefined,
    loadRest: LoadRest,
  ): Promise<Borrow> {
    const kept = this.#pinLeading(namespace, keys, options);
    if (keys.length > 0 && kept.length === keys.length) return lend(kept, undefined);
    const generation = this.#generation;
    try {
      const rest = await loadRest(kept.length === 0 ? keys : keys.slice(kept.length));
      const fingerprint = wishOf(options) ?? fingerprintUnasked;
      await this.#keep(rest.blocks, { namespace, fingerprint, generation });
      return lend(kept, rest);
    } catch (error) {
      if (kept.length > 0 && isStoreError(error, 'UNAVAILABLE')) return lend(kept, 'unavailable');
      for (const { extent } of kept) extent.unpin();
      throw error;
    }
  }

  async forget(namespace: Namespace, keys?: readonly BlockKey[]): Promise<void> {
    this.#generation += 1;
    const found = keys?.map((key) => this.#cache.find({ namespace, kind: 'block', key }));
    for (const entry of found ?? [...this.#cache.entriesOf(namespace, 'block')]) {
      if (entry?.isCurrent === true) await this.#cache.remove(entry);
    }
  }

  async close(): Promise<void> {
    this.#generation += 1;
    await this.#cache.close();
  }

  /** The leading blocks that are kept and wanted. */
  #pinLeading(
    namespace: Namespace,
    keys: readonly BlockKey[],
    options: LoadOptions | undefined,
  ): readonly Kept[] {
    const wish = wishOf(options);
    const leading: Kept[] = [];
    for (const key of keys) {
      const entry = this.#cache.find({ namespace, kind: 'block', key });
      if (entry === undefined) break;
      const { fingerprint, hasDecodedTokens } = entry.facts;
      if (options?.exact === true && hasDecodedTokens) break;
      if (wish !== undefined && wish !== fingerprint) break;
      const pinned = this.#cache.pinResident(entry);
      if (pinned === undefined) break;
      leading.push({ entry, ...pinned });
    }
    return leading;
  }

  /**
   * Keeps copies of the leading blocks that there is room for beside what is pinned, unless something is
   * forgotten meanwhile.
   */
  async #keep(blocks: readonly LoadedBlock[], origin: LoadOrigin): Promise<void> {
    const extents: Extent[] = [];
    let turnBytes = 0;
    for (const block of blocks) {
      if (origin.generation !== this.#generation) break;
      const facts = factsOf(block, origin);
      const present = this.#cache.find(facts);
      // By another load, which was faster.
      if (present?.facts.fingerprint === facts.fingerprint) continue;
      const extent = this.#cache.memory.allocate(facts.length);
      if (extent === undefined) break;
      extents.push(extent);
      if (present !== undefined) await this.#cache.remove(present);
      this.#shared.copy(extent.bytes, block.payload);
      this.#cache.admit(facts, extent, extent.bytes);
      turnBytes += facts.length;
      if (turnBytes < limits.turnBytesMax) continue;
      turnBytes = 0;
      await this.#clock.yield();
    }
    // The first is given up last.
    for (const extent of extents.reverse()) extent.unpin();
  }
}

function factsOf(block: LoadedBlock, { namespace, fingerprint }: LoadOrigin): PayloadFacts {
  const { key, payload, tokens, hasDecodedTokens, crc = crc32c(payload) } = block;
  return {
    ...{ namespace, kind: 'block', key, parent: undefined, fingerprint, tokens, crc },
    ...{ position: undefined, hasDecodedTokens, length: payload.length },
  };
}

function lend(kept: readonly Kept[], rest: Borrow | 'unavailable' | undefined): Borrow {
  const lent = [...kept];
  const blocks = kept.map(({ entry: { facts }, payload }): LoadedBlock => {
    const { key, tokens, hasDecodedTokens, crc } = facts;
    return { key, payload, tokens, hasDecodedTokens, tier: 'memory', crc };
  });
  const borrow = typeof rest === 'object' ? rest : undefined;
  return {
    blocks: borrow === undefined ? blocks : [...blocks, ...borrow.blocks],
    reason: typeof rest === 'string' ? rest : borrow?.reason,
    release: () => {
      // What was used last is evicted last, and a chain without its beginning is worth nothing.
      for (const { extent } of lent.splice(0).reverse()) extent.unpin();
      borrow?.release();
    },
  };
}

/** In a frame zeros mean that nobody knows. */
function wishOf(options: LoadOptions | undefined): string | undefined {
  const fingerprint = options?.fingerprint;
  return fingerprint === undefined || /^0*$/.test(fingerprint) ? undefined : fingerprint;
}
