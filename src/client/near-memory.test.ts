import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  assertBlocks,
  keptBlocksSuite,
  KeptRig,
  openFarStore,
} from '../../test/conformance/kept-blocks-suite.ts';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { chainOf } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { silentLogger } from '../base/logger.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import { defaultNamespaceName, parseNamespace } from '../blocks/namespace.ts';
import { SharedReader } from '../cache/shared-reader.ts';
import type { SharedWish } from '../cache/shared-reader.ts';
import { openSharedTier } from '../cache/shared-tier.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { NearMemory } from './near-memory.ts';

const platform = withNative(nodePlatform(), 'auto');
const namespace = parseNamespace(defaultNamespaceName);
/** What an extent takes of the budget. */
const extentBytes = 4096;
const anyWish: SharedWish = { exact: false, fingerprint: undefined };

let temporary: TemporaryDirectory;
let made = 0;
before(async () => {
  temporary = await makeTemporaryDirectory('near-memory');
});
after(() => temporary.remove());

interface Near {
  readonly memory: NearMemory;
  readonly directory: string;
}

async function near(blocks: number): Promise<Near> {
  made += 1;
  const directory = join(temporary.path, String(made));
  await mkdir(directory, { mode: 0o700 });
  const budgetBytes = blocks * extentBytes;
  const tier = await openSharedTier(platform, directory, budgetBytes, silentLogger);
  assert(tier !== undefined);
  return { memory: new NearMemory(tier, budgetBytes, platform.clock), directory };
}

if (withoutNative() === false) {
  keptBlocksSuite('near-cache in shared memory', async () => (await near(10)).memory);
}

describe('near-cache in shared memory', { skip: withoutNative() }, () => {
  let store: KvStore;
  before(async () => {
    store = await openFarStore();
  });
  after(() => store.close());

  /** How many leading blocks another process borrows there; their bytes are compared. */
  function readable({ directory }: Near, { keys, blocks }: Chain, wish = anyWish): number {
    assert(platform.sharedMemory !== undefined);
    const reader = SharedReader.open(platform.sharedMemory, directory);
    assert(reader !== undefined);
    const borrow = reader.pin(namespace, keys, wish);
    const payloads = borrow.blocks.map(({ payload }) => Buffer.from(payload));
    borrow.release();
    reader.close();
    payloads.forEach((payload, at) => assert.deepEqual(payload, Buffer.from(blocks[at].payload)));
    return payloads.length;
  }

  it('shows what was loaded to readers on the host, until it is forgotten', async () => {
    const cache = await near(10);
    const rig = new KeptRig(store, cache.memory);
    const chain = chainOf('shown', 3);
    await store.save(chain.blocks);
    assert.equal(readable(cache, chain), 0);
    await rig.loadAndRelease(chain);
    assert.equal(readable(cache, chain), 3);
    await cache.memory.forget(namespace, [chain.keys[1]]);
    assert.equal(readable(cache, chain), 1);
    await cache.memory.close();
  });

  it('shows blocks to a reader of a model only when they were loaded for it', async () => {
    const cache = await near(10);
    const rig = new KeptRig(store, cache.memory);
    const chain = chainOf('model', 2);
    const [ours, theirs] = ['aa', 'bb'].map((byte) => byte.repeat(32));
    await store.save(chain.blocks, { fingerprint: ours });
    await rig.loadAndRelease(chain);
    assert.equal(readable(cache, chain, { exact: false, fingerprint: ours }), 0);
    assert.equal(readable(cache, chain, { exact: false, fingerprint: theirs }), 0);
    await rig.loadAndRelease(chain, { fingerprint: ours });
    assert.equal(readable(cache, chain, { exact: false, fingerprint: ours }), 2);
    assert.equal(readable(cache, chain, { exact: false, fingerprint: theirs }), 0);
    assert.equal(readable(cache, chain), 2);
    await cache.memory.close();
  });

  it('keeps the beginning of a load that is longer than its budget', async () => {
    const cache = await near(4);
    const rig = new KeptRig(store, cache.memory);
    const chain = chainOf('long', 6);
    await store.save(chain.blocks);
    for (let time = 0; time < 2; time += 1) {
      const borrow = await rig.load(chain);
      assertBlocks(borrow, chain);
      borrow.release();
    }
    assert.deepEqual(rig.asked, [6, 2]);
    assert.equal(rig.lent, 0);
    await cache.memory.close();
  });

  it('gives up what was not used for longest, and nothing that is borrowed', async () => {
    const cache = await near(4);
    const rig = new KeptRig(store, cache.memory);
    const [first, second, third] = ['a', 'b', 'c'].map((name) => chainOf(`room/${name}`, 2));
    for (const chain of [first, second, third]) await store.save(chain.blocks);
    await rig.loadAndRelease(first);
    await rig.loadAndRelease(second);
    const borrow = await rig.load(first);
    await rig.loadAndRelease(third);
    assertBlocks(borrow, first);
    borrow.release();
    assert.deepEqual(
      [first, second, third].map((chain) => readable(cache, chain)),
      [2, 0, 2],
    );
    await cache.memory.close();
  });

  it('gives up the end of a chain before its beginning', async () => {
    const cache = await near(4);
    const rig = new KeptRig(store, cache.memory);
    const [chain, other] = [chainOf('order', 4), chainOf('order/other', 1)];
    await store.save(chain.blocks);
    await store.save(other.blocks);
    await rig.loadAndRelease(chain);
    await rig.loadAndRelease(other);
    assert.equal(readable(cache, chain), 3);
    assert.equal(readable(cache, other), 1);
    await cache.memory.close();
  });
});
