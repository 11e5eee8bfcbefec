import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { SaveRing, ServedStore } from '../../src/blocks/served-store.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import type { World, WorldStoreOptions } from '../conformance/kv-store-harness.ts';
import type { Chain } from './chains.ts';
import { inProcessHarness } from './in-process-world.ts';
import { RingClient } from './ring-client.ts';
import type { LeftBlock } from './ring-client.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

const memoryBytes = 128 * 1024 * 1024;

/** A store that shares its memory, one ring of it, and a client of that, which is written once more for tests. */
export interface RingScene {
  readonly store: ServedStore;
  readonly ring: SaveRing;
  readonly client: RingClient;
  readonly path: string;
}

/** Stores of one host in a world that each test has anew. */
export class RingScenes {
  readonly #harness = inProcessHarness(() => new MemoryObjectStore(nodePlatform().clock));
  #world: World | undefined;
  #temporary: TemporaryDirectory | undefined;
  #opened = 0;

  get world(): World {
    assert(this.#world !== undefined, 'a test has begun');
    return this.#world;
  }

  async begin(): Promise<void> {
    this.#world = await this.#harness.createWorld();
    this.#temporary = await makeTemporaryDirectory('rings');
  }

  async end(): Promise<void> {
    await this.#world?.dispose();
    await this.#temporary?.remove();
  }

  async close(): Promise<void> {
    await this.#harness.close();
  }

  /** A store of the one host, over memory of its own. */
  async openStore(
    options: WorldStoreOptions = {},
  ): Promise<{ readonly store: ServedStore; readonly directory: string }> {
    assert(this.#temporary !== undefined, 'a test has begun');
    this.#opened += 1;
    const directory = join(this.#temporary.path, `000${this.#opened}`);
    const settings = { memoryBytes, sharedDirectory: directory, ...options };
    return { store: served(await this.world.open('host', settings)), directory };
  }

  async openScene(options: WorldStoreOptions = {}): Promise<RingScene> {
    const { store, directory } = await this.openStore(options);
    const ring = await store.openRing();
    assert(ring !== undefined);
    const path = join(directory, `ring-${ring.number}`);
    return { store, ring, client: new RingClient(path), path };
  }
}

export function served(store: KvStore): ServedStore {
  assert('openRing' in store);
  return store as ServedStore;
}

/** The blocks of a chain as a client leaves them. */
export function blocksOf(chain: Chain): readonly LeftBlock[] {
  return chain.blocks.map(({ key, payload, tokens }) => ({ key, payload, tokens: tokens ?? 0 }));
}

/** The store gives the whole chain, with its bytes. */
export async function assertThere(store: KvStore, chain: Chain): Promise<void> {
  const borrow = await store.load(chain.keys);
  try {
    assert.equal(borrow.blocks.length, chain.keys.length, borrow.reason);
    borrow.blocks.forEach(({ payload }, index) => {
      assert(Buffer.from(chain.blocks[index].payload).equals(payload), `block ${index}`);
    });
  } finally {
    borrow.release();
  }
}
