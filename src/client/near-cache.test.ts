import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { StoreError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import type { Borrow, KvStore, LoadOptions } from '../blocks/kv-store.ts';
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import { resolveStoreConfig } from '../config/store-config.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { assembleStore } from '../store/assemble-store.ts';
import { chainOf } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { NearCache } from './near-cache.ts';

const namespace = parseNamespace(defaultNamespaceName);
const other = parseNamespace('other');
const blockBytes = 1000;
/** Of all tests: each has chains of its own. */
let store: KvStore;
before(async () => {
  const platform = nodePlatform();
  const settings = resolveStoreConfig(
    { objectStore: 'memory:', cacheDirectory: false },
    platform.host,
  );
  const objects = new MemoryObjectStore(platform.clock);
  const parts = { platform, logger: silentLogger, objects, transcoder: rawTranscoder, settings };
  store = await assembleStore(parts);
});
after(() => store.close());

/** A near-cache before a real store, and what it asks of that. */
class Rig {
  readonly cache: NearCache;
  readonly store = store;
  /** Keys of each load that came to the store. */
  readonly asked: number[] = [];
  /** Loads of the store that were not given back. */
  lent = 0;
  isAway = false;
  /** Called before the store answers. */
  meanwhile: () => void = () => undefined;

  /** With room for so many blocks. */
  constructor(blocks: number) {
    this.cache = new NearCache(blocks * blockBytes);
  }

  async load({ keys }: Pick<Chain, 'keys'>, options?: LoadOptions): Promise<Borrow> {
    return this.cache.load(options?.namespace ?? namespace, keys, options, async (rest) => {
      this.asked.push(rest.length);
      if (this.isAway) throw new StoreError('UNAVAILABLE', 'nobody is there');
      const borrow = await this.store.load(rest, options);
      this.meanwhile();
      this.lent += 1;
      let isLent = true;
      const release = (): void => {
        if (isLent) this.lent -= 1;
        isLent = false;
        borrow.release();
      };
      return { ...borrow, release };
    });
  }

  async loadAndRelease(chain: Pick<Chain, 'keys'>, options?: LoadOptions): Promise<void> {
    (await this.load(chain, options)).release();
  }
}

function assertBlocks(borrow: Borrow, { blocks }: Chain): void {
  assert.equal(borrow.reason, undefined);
  assert.equal(borrow.blocks.length, blocks.length);
  borrow.blocks.forEach(({ key, payload }, index) => {
    assert.equal(key, blocks[index].key);
    assert.deepEqual(Buffer.from(payload), Buffer.from(blocks[index].payload));
  });
}

describe('a near-cache', () => {
  it('gives blocks that were loaded before without asking', async () => {
    const rig = new Rig(10);
    const chain = chainOf('near', 3);
    await rig.store.save(chain.blocks);
    await rig.loadAndRelease(chain);
    const borrow = await rig.load(chain);
    assertBlocks(borrow, chain);
    borrow.release();
    assert.deepEqual(rig.asked, [3]);
    assert.equal(rig.cache.bytes, 3 * blockBytes);
  });

  it('asks only for what comes behind the blocks that it has', async () => {
    const rig = new Rig(10);
    const chain = chainOf('longer', 5);
    await rig.store.save(chain.blocks);
    await rig.loadAndRelease({ keys: chain.keys.slice(0, 2) });
    const borrow = await rig.load(chain);
    assertBlocks(borrow, chain);
    borrow.release();
    await rig.loadAndRelease(chain);
    assert.deepEqual(rig.asked, [2, 3]);
  });

  it('keeps the reason why the daemon stopped', async () => {
    const rig = new Rig(10);
    const chain = chainOf('hole', 3);
    await rig.store.save(chain.blocks.slice(0, 2));
    for (let time = 0; time < 2; time += 1) {
      const borrow = await rig.load(chain);
      assert.equal(borrow.blocks.length, 2);
      assert.equal(borrow.reason, 'unknown');
      borrow.release();
    }
    assert.deepEqual(rig.asked, [3, 1]);
  });

  it('stays within its budget, and what was not used for longest goes first', async () => {
    const rig = new Rig(6);
    const chains = ['a', 'b', 'c'].map((name) => chainOf(`budget/${name}`, 2));
    for (const chain of chains) {
      await rig.store.save(chain.blocks);
      await rig.loadAndRelease(chain);
    }
    await rig.loadAndRelease(chains[0]);
    const more = chainOf('budget/more', 2);
    await rig.store.save(more.blocks);
    await rig.loadAndRelease(more);
    assert.equal(rig.cache.bytes, 6 * blockBytes);
    assert.equal(rig.lent, 3);
    rig.asked.length = 0;
    for (const chain of [chains[0], chains[2], more]) await rig.loadAndRelease(chain);
    assert.deepEqual(rig.asked, []);
    await rig.loadAndRelease(chains[1]);
    assert.deepEqual(rig.asked, [2]);
  });

  it('does not drop what is borrowed, and keeps nothing that it has no room for', async () => {
    const rig = new Rig(3);
    const [first, second] = ['one', 'two'].map((name) => chainOf(`pinned/${name}`, 2));
    await rig.store.save(first.blocks);
    await rig.store.save(second.blocks);
    const borrow = await rig.load(first);
    await rig.loadAndRelease(second);
    assert.equal(rig.lent, 1);
    assert.equal(rig.cache.bytes, 2 * blockBytes);
    assertBlocks(borrow, first);
    borrow.release();
    borrow.release();
    assert.equal(rig.lent, 1);
    await rig.loadAndRelease(second);
    await rig.loadAndRelease(second);
    assert.deepEqual(rig.asked, [2, 2, 2]);
  });

  it('keeps nothing of a load that is longer than its budget', async () => {
    const rig = new Rig(2);
    const chain = chainOf('long', 3);
    await rig.store.save(chain.blocks);
    await rig.loadAndRelease(chain);
    assert.equal(rig.lent, 0);
    assert.equal(rig.cache.bytes, 0);
  });
});

describe('what a near-cache forgets', () => {
  it('is asked for again; what is borrowed of it stays valid', async () => {
    const rig = new Rig(10);
    const chain = chainOf('forgotten', 3);
    await rig.store.save(chain.blocks);
    const borrow = await rig.load(chain);
    rig.cache.forget(namespace, [chain.keys[1]]);
    await rig.loadAndRelease(chain);
    assert.deepEqual(rig.asked, [3, 2]);
    rig.cache.forget(namespace);
    assertBlocks(borrow, chain);
    borrow.release();
    assert.equal(rig.lent, 0);
    assert.equal(rig.cache.bytes, 0);
  });

  it('is not brought back by a load that began before', async () => {
    const rig = new Rig(10);
    const chain = chainOf('under way', 2);
    await rig.store.save(chain.blocks);
    rig.meanwhile = () => rig.cache.forget(namespace, chain.keys);
    await rig.loadAndRelease(chain);
    rig.meanwhile = () => undefined;
    await rig.loadAndRelease(chain);
    assert.deepEqual(rig.asked, [2, 2]);
  });

  it('is of one namespace', async () => {
    const rig = new Rig(10);
    const chain = chainOf('namespaces', 2);
    await rig.store.save(chain.blocks);
    await rig.store.save(chain.blocks, { namespace: other });
    await rig.loadAndRelease(chain);
    await rig.loadAndRelease(chain, { namespace: other });
    rig.cache.forget(other);
    await rig.loadAndRelease(chain);
    await rig.loadAndRelease(chain, { namespace: other });
    assert.deepEqual(rig.asked, [2, 2, 2]);
  });
});

describe('what a near-cache does not answer', () => {
  it('is an exact load of a block with decoded tokens', async () => {
    const rig = new Rig(10);
    const { keys, blocks } = chainOf('decoded', 2);
    await rig.store.save(blocks.map((block, at) => ({ ...block, hasDecodedTokens: at === 1 })));
    await rig.loadAndRelease({ keys });
    const borrow = await rig.load({ keys }, { exact: true });
    assert.equal(borrow.blocks.length, 1);
    assert.equal(borrow.reason, 'decoded');
    borrow.release();
    assert.deepEqual(rig.asked, [2, 1]);
  });

  it('is a load for a fingerprint that what it has was not loaded for', async () => {
    const rig = new Rig(10);
    const chain = chainOf('fingerprint', 1);
    const [ours, theirs] = ['aa', 'bb'].map((byte) => byte.repeat(32));
    await rig.store.save(chain.blocks, { fingerprint: ours });
    await rig.loadAndRelease(chain, { fingerprint: ours });
    await rig.loadAndRelease(chain, { fingerprint: ours });
    await rig.loadAndRelease(chain);
    assert.deepEqual(rig.asked, [1]);
    const borrow = await rig.load(chain, { fingerprint: theirs });
    assert.equal(borrow.reason, 'other-fingerprint');
    borrow.release();
  });

  it('is answered as far as it goes while the daemon is away', async () => {
    const rig = new Rig(10);
    const chain = chainOf('away', 4);
    await rig.store.save(chain.blocks);
    await rig.loadAndRelease({ keys: chain.keys.slice(0, 2) });
    rig.isAway = true;
    const borrow = await rig.load(chain);
    assert.equal(borrow.blocks.length, 2);
    assert.equal(borrow.reason, 'unavailable');
    borrow.release();
    const fresh = chainOf('away/fresh', 1);
    await assert.rejects(rig.load(fresh), { code: 'UNAVAILABLE' });
    assert.equal(rig.lent, 1);
  });
});
