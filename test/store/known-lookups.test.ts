import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore, Lookup } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { connect } from '../../src/client/connect.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import { openServedStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { doorOf, startDaemon } from '../support/daemon-world.ts';
import { patience } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const memoryBytes = 64 * 1024 * 1024;
const other = parseNamespace('other');

// Goal: a client answers a lookup itself where the daemon would answer without asking the bucket, and only there.
// Method: a daemon of this process whose lookups are counted, a bucket that another store filled, and clients of both kinds.
describe('lookups of blocks that a daemon knows in the bucket', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let daemon: Daemon;
  let store: KvStore;
  /** The same daemon as a client sees it that reads no memory. */
  let plain: KvStore;
  let chain: Chain;
  let asked: number;
  let lives = 0;

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('known-lookups');
    chain = chainOf(`known ${(lives += 1)}`, 80, 1000);
    const elsewhere = await openStore(`${temporary.path}/elsewhere`);
    await elsewhere.save(chain.blocks, { durable: true });
    await elsewhere.close();
    await start();
  });
  afterEach(async () => {
    await stop();
    await temporary.remove();
  });

  async function openStore(cacheDirectory: string, sharedDirectory?: string): Promise<ServedStore> {
    const platform = nodePlatform();
    const places = { objectStore: `file://${temporary.path}/objects`, cacheDirectory };
    const config = resolveStoreConfig({ ...places, ...patience, memoryBytes }, platform.host);
    return openServedStore(config, platform, {
      ...{ logger: silentLogger, drainMs: 5000, sharedDirectory },
    });
  }

  async function start(): Promise<void> {
    const memory = `${temporary.path}/memory-${(lives += 1)}`;
    const served = await openStore(`${temporary.path}/cache`, memory);
    const door = doorOf('shm', temporary.path, `daemon-${lives}`);
    asked = 0;
    daemon = await startDaemon(
      counting(served, () => (asked += 1)),
      door,
    );
    const { url } = daemon.addresses[0];
    await writeFile(announcementOf(url.slice('unix:'.length)), memory);
    store = await connect(url.replace('unix:', 'shm:'), patience);
    plain = await connect(url, patience);
  }

  async function stop(): Promise<void> {
    await store.close();
    await plain.close();
    await daemon.stop();
  }

  /** What a lookup says, and how often the daemon was asked for it. */
  async function lookUp(
    keys = chain.keys,
    namespace?: typeof other,
  ): Promise<readonly [number, number, Lookup['reason']]> {
    const before = asked;
    const { matched, reason } = await store.lookup(keys, { namespace });
    return [matched, asked - before, reason];
  }

  it('are answered without a call once the last block is certain', async () => {
    assert.deepEqual(await lookUp(), [80, 1, undefined]);
    assert.deepEqual(await lookUp(), [80, 0, undefined]);
    // In the middle of a list nothing is certain before somebody asked for it.
    assert.deepEqual(await lookUp(chain.keys.slice(0, 40)), [40, 1, undefined]);
    assert.deepEqual(await lookUp(chain.keys.slice(0, 40)), [40, 0, undefined]);
    const longer = [...chain.keys, ...chainOf('nobody has it', 1, 10).keys];
    assert.deepEqual(await lookUp(longer), [80, 1, 'unknown']);
    assert.equal((await plain.stats()).memory.hits, 0);
  });

  it('are answered of blocks in memory and in the bucket in one', async () => {
    await plain.lookup(chain.keys);
    const borrow = await plain.load(chain.keys.slice(0, 10));
    borrow.release();
    assert.deepEqual(await lookUp(), [80, 0, undefined]);
    assert.deepEqual(await lookUp(chain.keys.slice(0, 10)), [10, 0, undefined]);
  });

  it('do not see blocks of another namespace', async () => {
    await lookUp();
    assert.deepEqual(await lookUp(chain.keys, other), [0, 1, 'unknown']);
    const own = chainOf('other', 3, 100);
    await plain.save(own.blocks, { namespace: other, durable: true });
    assert.deepEqual(await lookUp(own.keys), [0, 1, 'unknown']);
    assert.deepEqual(await lookUp(own.keys, other), [3, 0, undefined]);
    assert.deepEqual(await lookUp(chain.keys, other), [0, 1, 'unknown']);
  });

  it('find nothing that was deleted, from the moment of the answer on', async () => {
    await lookUp();
    await plain.delete({ kind: 'blocks', keys: chain.keys.slice(79) });
    assert.deepEqual(await lookUp(), [79, 1, 'unknown']);
    assert.deepEqual(await lookUp(chain.keys.slice(0, 79)), [79, 0, undefined]);
    await plain.delete({ kind: 'namespace' });
    assert.deepEqual(await lookUp(chain.keys.slice(0, 79)), [0, 1, 'unknown']);
  });

  it('are truthful again when a load found that an object is gone', async () => {
    await lookUp();
    const elsewhere = await openStore(`${temporary.path}/elsewhere`);
    await elsewhere.delete({ kind: 'blocks', keys: chain.keys.slice(70) });
    await elsewhere.close();
    // As the daemon itself would say.
    assert.equal((await plain.lookup(chain.keys)).matched, 80);
    assert.deepEqual(await lookUp(), [80, 0, undefined]);
    const borrow = await store.load(chain.keys);
    assert.equal(borrow.blocks.length, 70);
    borrow.release();
    assert.equal((await lookUp())[0], 70);
    assert.deepEqual(await lookUp(chain.keys.slice(0, 70)), [70, 0, undefined]);
  });

  it('ask once more when the daemon knows by what an earlier one left', async () => {
    await lookUp();
    await stop();
    await start();
    assert.deepEqual(await lookUp(), [80, 1, undefined]);
    assert.deepEqual(await lookUp(), [80, 0, undefined]);
  });

  it('are refused as ever when they are wrong', async () => {
    await lookUp();
    await assert.rejects(store.lookup(chain.keys, { deadlineMs: -1 }), RangeError);
    const controller = new AbortController();
    controller.abort();
    const { signal } = controller;
    await assert.rejects(store.lookup(chain.keys, { signal }), { code: 'ABORTED' });
  });
});

/** The store, of which every lookup is told. */
function counting(store: ServedStore, onLookup: () => void): ServedStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        if (name === 'lookup') onLookup();
        return Reflect.apply(value, target, given);
      };
    },
  });
}
