import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import { doorOf, startDaemon } from '../support/daemon-world.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import { openServedStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { connect } from '../../src/client/connect.ts';

const memoryBytes = 64 * 1024 * 1024;

describe('a save of what is in the memory of a daemon', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let daemon: Daemon;
  let store: KvStore;
  /** The same daemon as another client sees it. */
  let other: KvStore;

  before(async () => {
    temporary = await makeTemporaryDirectory('known');
    const { path } = temporary;
    const platform = nodePlatform();
    const places = { objectStore: `file://${path}/objects`, cacheDirectory: `${path}/cache` };
    const config = resolveStoreConfig({ ...places, memoryBytes }, platform.host);
    const sharedDirectory = `${path}/memory`;
    const served = await openServedStore(config, platform, {
      ...{ logger: silentLogger, drainMs: 5000, sharedDirectory },
    });
    daemon = await startDaemon(served, doorOf('shm', path, 'daemon'));
    const { url } = daemon.addresses[0];
    await writeFile(announcementOf(url.slice('unix:'.length)), sharedDirectory);
    store = await connect(url.replace('unix:', 'shm:'));
    other = await connect(url);
  });
  after(async () => {
    await store.close();
    await other.close();
    await daemon.stop();
    await temporary.remove();
  });

  /** Blocks that the daemon was asked to save, and had. */
  async function knownToDaemon(): Promise<number> {
    return (await other.stats()).known;
  }

  it('is answered without a call, and counted', async () => {
    const chain = chainOf('known', 6, 100_000);
    assert.equal((await store.save(chain.blocks)).saved, 6);
    const [before, own] = [await knownToDaemon(), (await store.stats()).known];
    const expected = { saved: 0, known: 6, savedBytes: 0 };
    assert.deepEqual(await store.save(chain.blocks), expected);
    assert.deepEqual(await store.save(chain.blocks, { durable: false }), expected);
    assert.equal(await knownToDaemon(), before);
    assert.equal((await store.stats()).known, own + 12);
  });

  it('asks the daemon when it is to be durable', async () => {
    const chain = chainOf('durable', 3, 100_000);
    await store.save(chain.blocks);
    const before = await knownToDaemon();
    assert.equal((await store.save(chain.blocks, { durable: true })).known, 3);
    assert.equal(await knownToDaemon(), before + 3);
  });

  it('asks the daemon when a block is not there, or not in that namespace', async () => {
    const chain = chainOf('longer', 5, 100_000);
    await store.save(sliceChain(chain, 0, 4).blocks);
    assert.deepEqual(await store.save(chain.blocks), { saved: 1, known: 4, savedBytes: 100_000 });
    const namespace = parseNamespace('elsewhere');
    assert.equal((await store.save(chain.blocks, { namespace })).saved, 5);
  });

  it('asks the daemon for what was deleted', async () => {
    const chain = chainOf('deleted', 3, 100_000);
    await store.save(chain.blocks, { durable: true });
    await store.delete({ kind: 'blocks', keys: chain.keys });
    assert.equal((await store.save(chain.blocks)).saved, 3);
  });

  it('refuses what any save refuses', async () => {
    const chain = chainOf('refused', 2, 100_000);
    await store.save(chain.blocks);
    const signal = AbortSignal.abort();
    await assert.rejects(store.save(chain.blocks, { signal }), { code: 'ABORTED' });
  });
});
