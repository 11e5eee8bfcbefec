import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { KvStore } from '../blocks/kv-store.ts';
import {
  assertBlocks,
  keptBlocksSuite,
  KeptRig,
  openFarStore,
} from '../../test/conformance/kept-blocks-suite.ts';
import { chainOf } from '../../test/support/chains.ts';
import { NearCache } from './near-cache.ts';

const blockBytes = 1000;

keptBlocksSuite('near-cache in the memory of a process', () => new NearCache(10 * blockBytes));

describe('a near-cache', () => {
  /** Of all tests: each has chains of its own. */
  let store: KvStore;
  before(async () => {
    store = await openFarStore();
  });
  after(() => store.close());

  /** With room for so many blocks. */
  function rigOf(blocks: number): KeptRig<NearCache> {
    return new KeptRig(store, new NearCache(blocks * blockBytes));
  }

  it('stays within its budget, and what was not used for longest goes first', async () => {
    const rig = rigOf(6);
    const chains = ['a', 'b', 'c'].map((name) => chainOf(`budget/${name}`, 2));
    for (const chain of chains) {
      await rig.store.save(chain.blocks);
      await rig.loadAndRelease(chain);
    }
    await rig.loadAndRelease(chains[0]);
    const more = chainOf('budget/more', 2);
    await rig.store.save(more.blocks);
    await rig.loadAndRelease(more);
    assert.equal(rig.kept.bytes, 6 * blockBytes);
    assert.equal(rig.lent, 3);
    rig.asked.length = 0;
    for (const chain of [chains[0], chains[2], more]) await rig.loadAndRelease(chain);
    assert.deepEqual(rig.asked, []);
    await rig.loadAndRelease(chains[1]);
    assert.deepEqual(rig.asked, [2]);
  });

  it('does not drop what is borrowed, and keeps nothing that it has no room for', async () => {
    const rig = rigOf(3);
    const [first, second] = ['one', 'two'].map((name) => chainOf(`pinned/${name}`, 2));
    await rig.store.save(first.blocks);
    await rig.store.save(second.blocks);
    const borrow = await rig.load(first);
    await rig.loadAndRelease(second);
    assert.equal(rig.lent, 1);
    assert.equal(rig.kept.bytes, 2 * blockBytes);
    assertBlocks(borrow, first);
    borrow.release();
    borrow.release();
    assert.equal(rig.lent, 1);
    await rig.loadAndRelease(second);
    await rig.loadAndRelease(second);
    assert.deepEqual(rig.asked, [2, 2, 2]);
  });

  it('keeps nothing of a load that is longer than its budget', async () => {
    const rig = rigOf(2);
    const chain = chainOf('long', 3);
    await rig.store.save(chain.blocks);
    await rig.loadAndRelease(chain);
    assert.equal(rig.lent, 0);
    assert.equal(rig.kept.bytes, 0);
  });
});
