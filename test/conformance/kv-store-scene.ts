import assert from 'node:assert/strict';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import { tokensOf, tokensPerBlock } from '../support/chains.ts';
import type { World } from './kv-store-harness.ts';
import { ModelNamespace } from './kv-store-model.ts';
import { openStore } from './kv-store-steps.ts';

/** Blocks of each chain, and how many of the first ones both have in common. */
const chainBlocks = 8;
const sharedBlocks = 3;

/** A namespace, and what the model knows of it. */
export interface SceneNamespace {
  readonly name: Namespace;
  readonly model: ModelNamespace;
}

/** One live host of a world, with the model that it has to agree with. */
export interface Scene {
  readonly world: World;
  /** The store of the live host; replaced by restarts. */
  store: KvStore;
  readonly namespaces: readonly SceneNamespace[];
  /** Two chains of eight blocks that share the first three, and the tip before them. */
  readonly chains: readonly (readonly BlockKey[])[];
  readonly seed: BlockKey;
  /** True while the bucket is gone. */
  isOutage: boolean;
  /** True once the host has lost its own knowledge, so that it may hope for deleted blocks. */
  mayHope: boolean;
  /** Hosts that have visited, for their names. */
  visits: number;
}

/** Name of the live host. */
export const liveHost = 'live';

/** Opens the live host of an empty world. */
export async function openScene(world: World): Promise<Scene> {
  const seed = seedOf('conformance/scene');
  const shared = tokensOf('shared', sharedBlocks * tokensPerBlock);
  const chains = ['left', 'right'].map((side) => {
    const prefix = new Prefix(seed, tokensPerBlock);
    prefix.append(shared);
    prefix.append(tokensOf(side, (chainBlocks - sharedBlocks) * tokensPerBlock));
    assert.equal(prefix.keys.length, chainBlocks);
    return prefix.keys;
  });
  return {
    world,
    store: await openStore(world, liveHost),
    namespaces: ['red', 'blue'].map((name) => ({
      name: parseNamespace(name),
      model: new ModelNamespace(),
    })),
    chains,
    seed,
    isOutage: false,
    mayHope: false,
    visits: 0,
  };
}
