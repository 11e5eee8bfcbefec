import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { cachedLibrary } from '../../../tools/capi-build.ts';
import type { KvStore } from '../../../src/blocks/kv-store.ts';
import type { World } from '../../conformance/kv-store-harness.ts';
import { withoutNative } from '../../support/c-compiler.ts';
import { chainOf, sliceChain } from '../../support/chains.ts';
import { testToolchain } from '../c-program.ts';
import { cHarness } from './c-world.ts';

const isSanitized = testToolchain().flavour !== 'plain';
const skip = isSanitized ? 'left to another lane: npm run test' : withoutNative();

describe('a save by the C library of what is in the memory of a daemon', { skip }, () => {
  const built = cachedLibrary({ ...testToolchain(), flavour: 'plain' });
  const harness = cHarness(
    built.then(({ shared }) => shared),
    'shm',
  );
  let world: World | undefined;
  let store: KvStore;
  before(async () => {
    world = await harness.createWorld();
    store = await world.open('host');
  });
  after(async () => {
    await world?.dispose();
    await harness.close();
  });

  it('counts what it knows, durable or not', async () => {
    const chain = chainOf('known to c', 6, 100_000);
    assert.equal((await store.save(chain.blocks)).saved, 6);
    const before = (await store.stats()).known;
    const expected = { saved: 0, known: 6, savedBytes: 0 };
    for (let i = 0; i < 3; i += 1) assert.deepEqual(await store.save(chain.blocks), expected);
    assert.deepEqual(await store.save(chain.blocks, { durable: true }), expected);
    assert.equal((await store.stats()).known, before + 24);
  });

  it('asks the daemon for what is not there, or there no more', async () => {
    const chain = chainOf('longer in c', 5, 100_000);
    await store.save(sliceChain(chain, 0, 4).blocks, { durable: true });
    assert.deepEqual(await store.save(chain.blocks), { saved: 1, known: 4, savedBytes: 100_000 });
    await store.delete({ kind: 'blocks', keys: chain.keys });
    assert.equal((await store.save(chain.blocks)).saved, 5);
  });
});
