import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { StoreError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { Borrow, KvStore, LoadOptions } from '../../src/blocks/kv-store.ts';
import { defaultNamespaceName, parseNamespace } from '../../src/blocks/namespace.ts';
import type { KeptBlocks } from '../../src/client/kept-blocks.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { rawTranscoder } from '../support/raw-transcoder.ts';

const namespace = parseNamespace(defaultNamespaceName);
const other = parseNamespace('other');

/** A store in memory, for loads that are not answered from near. */
export async function openFarStore(): Promise<KvStore> {
  const platform = nodePlatform();
  const settings = resolveStoreConfig(
    { objectStore: 'memory:', cacheDirectory: false },
    platform.host,
  );
  const objects = new MemoryObjectStore(platform.clock);
  const parts = { platform, logger: silentLogger, objects, transcoder: rawTranscoder, settings };
  return assembleStore(parts);
}

/** What keeps blocks near, before a real store, and what it asks of that. */
export class KeptRig<Kept extends KeptBlocks> {
  readonly kept: Kept;
  readonly store: KvStore;
  /** Keys of each load that came to the store. */
  readonly asked: number[] = [];
  /** Loads of the store that were not given back. */
  lent = 0;
  isAway = false;
  /** Called before the store answers. */
  meanwhile: () => Promise<void> = () => Promise.resolve();

  constructor(store: KvStore, kept: Kept) {
    this.store = store;
    this.kept = kept;
  }

  async load({ keys }: Pick<Chain, 'keys'>, options?: LoadOptions): Promise<Borrow> {
    return this.kept.load(options?.namespace ?? namespace, keys, options, async (rest) => {
      this.asked.push(rest.length);
      if (this.isAway) throw new StoreError('UNAVAILABLE', 'nobody is there');
      const borrow = await this.store.load(rest, options);
      await this.meanwhile();
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

export function assertBlocks(borrow: Borrow, { blocks }: Chain): void {
  assert.equal(borrow.reason, undefined);
  assert.equal(borrow.blocks.length, blocks.length);
  borrow.blocks.forEach(({ key, payload }, index) => {
    assert.equal(key, blocks[index].key);
    assert.deepEqual(Buffer.from(payload), Buffer.from(blocks[index].payload));
  });
}

/** The contract of {@link KeptBlocks}; `make` gives one with room for ten blocks of a thousand bytes. */
export function keptBlocksSuite(name: string, make: () => KeptBlocks | Promise<KeptBlocks>): void {
  describe(name, () => {
    /** Of all tests: each has chains of its own. */
    let store: KvStore;
    const made: KeptBlocks[] = [];
    before(async () => {
      store = await openFarStore();
    });
    after(async () => {
      for (const kept of made) await kept.close();
      await store.close();
    });

    async function rigOf(): Promise<KeptRig<KeptBlocks>> {
      const kept = await make();
      made.push(kept);
      return new KeptRig(store, kept);
    }

    it('gives blocks that were loaded before without asking', async () => {
      const rig = await rigOf();
      const chain = chainOf('near', 3);
      await rig.store.save(chain.blocks);
      await rig.loadAndRelease(chain);
      const borrow = await rig.load(chain);
      assertBlocks(borrow, chain);
      borrow.release();
      assert.deepEqual(rig.asked, [3]);
    });

    it('asks only for what comes behind the blocks that it has', async () => {
      const rig = await rigOf();
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
      const rig = await rigOf();
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

    describe('what it forgets', () => {
      it('is asked for again; what is borrowed of it stays valid', async () => {
        const rig = await rigOf();
        const chain = chainOf('forgotten', 3);
        await rig.store.save(chain.blocks);
        const borrow = await rig.load(chain);
        await rig.kept.forget(namespace, [chain.keys[1]]);
        await rig.loadAndRelease(chain);
        assert.deepEqual(rig.asked, [3, 2]);
        await rig.kept.forget(namespace);
        assertBlocks(borrow, chain);
        borrow.release();
        assert.equal(rig.lent, 0);
      });

      it('is not brought back by a load that began before', async () => {
        const rig = await rigOf();
        const chain = chainOf('under way', 2);
        await rig.store.save(chain.blocks);
        rig.meanwhile = () => rig.kept.forget(namespace, chain.keys);
        await rig.loadAndRelease(chain);
        rig.meanwhile = () => Promise.resolve();
        await rig.loadAndRelease(chain);
        assert.deepEqual(rig.asked, [2, 2]);
      });

      it('is of one namespace', async () => {
        const rig = await rigOf();
        const chain = chainOf('namespaces', 2);
        await rig.store.save(chain.blocks);
        await rig.store.save(chain.blocks, { namespace: other });
        await rig.loadAndRelease(chain);
        await rig.loadAndRelease(chain, { namespace: other });
        await rig.kept.forget(other);
        await rig.loadAndRelease(chain);
        await rig.loadAndRelease(chain, { namespace: other });
        assert.deepEqual(rig.asked, [2, 2, 2]);
      });
    });

    describe('what it does not answer', () => {
      it('is an exact load of a block with decoded tokens', async () => {
        const rig = await rigOf();
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
        const rig = await rigOf();
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
        const rig = await rigOf();
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
      });
    });
  });
}
