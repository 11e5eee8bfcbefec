import assert from 'node:assert/strict';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { chainOf } from '../support/chains.ts';
import { patience } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

const mib = 1024 * 1024;
const blocks = 300;
const root = await makeTemporaryDirectory('catalog-restart');
after(() => root.remove());

function configOf(name: string, host: string): StoreConfig {
  return {
    objectStore: `file://${root.path}/${name}/objects`,
    cacheDirectory: `${root.path}/${name}/${host}`,
    memoryBytes: 8 * mib,
    diskBytes: 64 * mib,
    objectStoreBytesMax: false,
    ...patience,
  };
}

/** A chain in the bucket that host `b` has looked up, and holds nothing of. */
async function knownTo(name: string): Promise<ReturnType<typeof chainOf>> {
  const chain = chainOf(name, blocks, 100);
  const first = await openStore(configOf(name, 'a'));
  await first.save(chain.blocks, { durable: true });
  await first.close();
  const second = await openStore(configOf(name, 'b'));
  assert.equal((await second.lookup(chain.keys)).matched, blocks);
  assert.ok((await requestsOf(second)) > 3);
  await second.close();
  return chain;
}

async function requestsOf(store: KvStore): Promise<number> {
  const { get, head, list } = (await store.stats()).object.requests;
  return get + head + list;
}

function catalogOf(name: string, host: string): string {
  return `${root.path}/${name}/${host}/v1/0/catalog`;
}

describe('what a store knew of the bucket, after a restart', () => {
  it('is asked for once: that its end is still there', async () => {
    const chain = await knownTo('restart');
    const store = await openStore(configOf('restart', 'b'));
    assert.equal((await store.lookup(chain.keys)).matched, blocks);
    assert.equal(await requestsOf(store), 1);
    const borrow = await store.load(chain.keys.slice(0, 3));
    for (const [index, { payload }] of borrow.blocks.entries()) {
      assert.deepEqual(new Uint8Array(payload), chain.blocks[index].payload);
    }
    assert.equal(borrow.blocks.length, 3);
    borrow.release();
    await store.close();
  });

  it('is taken back when the bucket lost it meanwhile', async () => {
    const chain = await knownTo('lost');
    await rm(`${root.path}/lost/objects`, { recursive: true });
    const store = await openStore(configOf('lost', 'b'));
    assert.equal((await store.lookup(chain.keys)).matched, 0);
    // What is saved again is stored again, whatever was believed.
    await store.save(chain.blocks, { durable: true });
    await store.close();
    const other = await openStore(configOf('lost', 'c'));
    assert.equal((await other.lookup(chain.keys)).matched, blocks);
    await other.close();
  });

  it('is asked of the bucket when the file is damaged, which is counted', async () => {
    const chain = await knownTo('damaged');
    const file = await open(catalogOf('damaged', 'b'), 'r+');
    await file.write(Uint8Array.of(0x55, 0xaa, 0x55, 0xaa), 0, 4, 5000);
    await file.close();
    const store = await openStore(configOf('damaged', 'b'));
    assert.equal((await store.stats()).damagedRecords, 1);
    assert.equal((await store.lookup(chain.keys)).matched, blocks);
    await store.close();
    const again = await openStore(configOf('damaged', 'b'));
    assert.equal((await again.stats()).damagedRecords, 0);
    await again.close();
  });

  it('stays within the disk budget, with what the log holds', async () => {
    const config = { ...configOf('budget', 'a'), diskBytes: 16 * mib };
    const store = await openStore(config);
    for (let save = 0; save < 12; save += 1) {
      const { blocks: some } = chainOf(`budget-${save}`, 4, 512 * 1024);
      await store.save(some, { durable: true });
    }
    await store.close();
    const directory = `${root.path}/budget/a/v1/0`;
    let bytes = 0;
    for (const name of await readdir(directory)) bytes += (await stat(`${directory}/${name}`)).size;
    assert.ok((await stat(catalogOf('budget', 'a'))).size > 0);
    assert.ok(bytes <= 16 * mib, `${bytes} bytes`);
  });
});
