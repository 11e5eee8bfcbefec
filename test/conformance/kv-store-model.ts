import type { BlockKey } from '../../src/blocks/block-key.ts';

/** What the model knows of one block: its bytes, and how sure it is that it is stored. */
export interface ModelBlock {
  readonly payload: Uint8Array;
  /** False when a wipe may have taken it before its upload. */
  isCertain: boolean;
  /** True once the object store confirmed it. */
  isDurable: boolean;
  /** True while this host has accepted it into its own tiers. */
  isLocal: boolean;
}

/** A tail of the model. Its bytes follow from tip and tokens, so it holds certainty only. */
export interface ModelTail {
  readonly tokens: readonly number[];
  readonly payload: Uint8Array;
  isCertain: boolean;
  isDurable: boolean;
  isLocal: boolean;
}

/** A raw tail: the values that may be read. One when sure; `undefined` stands for none. */
export interface ModelRawTail {
  possible: readonly (Uint8Array | undefined)[];
  /** The same for a host that lost its tiers. */
  afterWipe: readonly (Uint8Array | undefined)[];
  isLocal: boolean;
}

/** What one namespace holds, as far as the contract lets anybody know. */
export class ModelNamespace {
  readonly blocks = new Map<BlockKey, ModelBlock>();
  /** By tip. */
  readonly tails = new Map<BlockKey, ModelTail[]>();
  readonly rawTails = new Map<BlockKey, ModelRawTail>();
  /**
   * Blocks that were deleted one by one and may still stand in a list of following keys. A host
   * that lost its own knowledge may hope for them until a load proves it wrong.
   */
  readonly hopedFor = new Set<BlockKey>();

  /** Everything pending has been confirmed. */
  markDurable(): void {
    for (const block of this.blocks.values()) block.isDurable ||= block.isCertain;
    for (const tails of this.tails.values()) {
      for (const tail of tails) tail.isDurable ||= tail.isCertain;
    }
    for (const raw of this.rawTails.values()) {
      raw.afterWipe = raw.possible;
    }
  }

  /** The host lost its tiers: what was not durable may be gone, or may have been uploaded. */
  wipe(): void {
    for (const block of this.blocks.values()) {
      block.isLocal = false;
      block.isCertain &&= block.isDurable;
    }
    for (const tails of this.tails.values()) {
      for (const tail of tails) {
        tail.isLocal = false;
        tail.isCertain &&= tail.isDurable;
      }
    }
    for (const raw of this.rawTails.values()) {
      raw.isLocal = false;
      raw.possible = raw.afterWipe;
    }
  }

  /** Leading keys that must be found. In an outage only what the host accepted itself counts. */
  leastMatched(keys: readonly BlockKey[], isOutage: boolean): number {
    return leading(keys, (key) => {
      const block = this.blocks.get(key);
      return block !== undefined && block.isCertain && (block.isLocal || !isOutage);
    });
  }

  /** Leading keys that can be loaded at most. */
  mostLoaded(keys: readonly BlockKey[]): number {
    return leading(keys, (key) => this.blocks.has(key));
  }

  /** Leading keys that a lookup may count, with hope where the host was wiped. */
  mostMatched(keys: readonly BlockKey[], mayHope: boolean): number {
    return leading(keys, (key) => this.blocks.has(key) || (mayHope && this.hopedFor.has(key)));
  }

  deleteBlocks(keys: readonly BlockKey[]): void {
    for (const key of keys) {
      if (this.blocks.delete(key)) this.hopedFor.add(key);
      this.#doubtTails(key);
    }
  }

  /**
   * Removes the block and what continues it in any of the chains. Behind a hole nobody knows what
   * continues what: those blocks may go or stay.
   */
  deleteSubtree(chains: readonly (readonly BlockKey[])[], root: BlockKey): void {
    const isSure = new Set(
      [...this.blocks].filter(([, block]) => block.isCertain).map(([key]) => key),
    );
    for (const chain of chains) {
      const start = chain.indexOf(root);
      if (start === -1) continue;
      let isLinked = true;
      for (const key of chain.slice(start)) {
        isLinked &&= isSure.has(key);
        if (isLinked) this.blocks.delete(key);
        else this.#doubtBlock(key);
        this.hopedFor.add(key);
        this.#doubtTails(key);
      }
    }
  }

  deleteAll(): void {
    for (const key of this.blocks.keys()) this.hopedFor.add(key);
    this.blocks.clear();
    this.tails.clear();
    this.rawTails.clear();
  }

  #doubtBlock(key: BlockKey): void {
    const block = this.blocks.get(key);
    if (block === undefined) return;
    block.isCertain = false;
    block.isDurable = false;
  }

  /** What hangs on a deleted block may go with it or stay; the contract leaves it open. */
  #doubtTails(tip: BlockKey): void {
    for (const tail of this.tails.get(tip) ?? []) {
      tail.isCertain = false;
      tail.isDurable = false;
    }
    const raw = this.rawTails.get(tip);
    if (raw !== undefined) {
      raw.possible = [undefined, ...raw.possible];
      raw.afterWipe = [undefined, ...raw.afterWipe];
    }
  }
}

/** How many keys pass before the first that does not. */
function leading(keys: readonly BlockKey[], isGood: (key: BlockKey) => boolean): number {
  const end = keys.findIndex((key) => !isGood(key));
  return end === -1 ? keys.length : end;
}
