import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { after, before, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { configFromEnvironment } from '../../src/config/environment.ts';
import { openStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { chainOf } from '../support/chains.ts';
import { assertThere } from '../support/ring-scenes.ts';
import { S3Server } from '../support/s3-server/s3-server.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const mib = 1024 * 1024;
/** Of a chain; each block takes a quarter of a second of a bound of 1 MiB a second. */
const blocks = 4;
const blockBytes = mib / 4;
const blockMs = 250;
/** Timers of Node count whole milliseconds and begin a little early. */
const toleranceMs = 5;

// Goal: the settings bound what a store as it is opened by its environment moves. Method: a strict S3 server that notes when
// requests for bodies come, and bounds from below on the time between them, which hold on any machine.
describe('the bandwidth that settings give a bucket', { concurrency: 2 }, () => {
  let directory: TemporaryDirectory;

  before(async () => {
    directory = await makeTemporaryDirectory('bandwidth');
  });
  after(() => directory.remove());

  /** A server, and stores on it, each with nothing of its own. */
  const serve = async (
    task: (
      open: (rates: Readonly<Record<string, string>>) => Promise<KvStore>,
      times: (method: string) => readonly number[],
    ) => Promise<void>,
  ): Promise<void> => {
    const server = await S3Server.start();
    const seen: { method: string; atMs: number }[] = [];
    server.faults = ({ method, key }) => {
      if (key.includes('/block/')) seen.push({ method, atMs: performance.now() });
      return undefined;
    };
    let opened = 0;
    const open = (rates: Readonly<Record<string, string>>): Promise<KvStore> => {
      opened += 1;
      const environment = {
        WMBT_KV_BUCKET: 'wombat',
        WMBT_KV_S3_ENDPOINT: server.endpoint,
        WMBT_KV_S3_ACCESS_KEY: 'test',
        WMBT_KV_S3_SECRET_KEY: 'testtest',
        WMBT_KV_BLOCK_COMPRESS: 'off',
        WMBT_KV_PUFFER_DIR: `${directory.path}/${server.port}-${opened}`,
        WMBT_KV_LOOKUP_DEADLINE_MS: '5000',
        ...rates,
      };
      return openStore(configFromEnvironment(environment, nodePlatform().host));
    };
    try {
      await task(open, (method) =>
        seen.filter((one) => one.method === method).map(({ atMs }) => atMs),
      );
    } finally {
      await server.close();
    }
  };

  /** From a moment before the first was sent: the server may have had no time to note it sooner. */
  const assertApart = (times: readonly number[], count: number, startMs: number): void => {
    assert.equal(times.length, count);
    for (const [index, atMs] of times.entries()) {
      const least = index * (blockMs - toleranceMs);
      assert.ok(atMs - startMs >= least, `request ${index} came ${atMs - startMs} ms later`);
    }
  };

  it('holds for uploads, and not for what accepts them', async () => {
    await serve(async (open, times) => {
      const chain = chainOf('bandwidth writes', blocks, blockBytes);
      const store = await open({ WMBT_KV_S3_WRITE_BYTES_PER_SEC: '1MiB' });
      const startMs = performance.now();
      await store.save(chain.blocks);
      assert.ok(times('PUT').length < blocks, 'accepted before it was uploaded');
      await store.flush();
      assertApart(times('PUT'), blocks, startMs);
      await store.close();
    });
  });

  it('holds for loads, and a lookup does not wait for what is loaded', async () => {
    await serve(async (open, times) => {
      const chains = ['first', 'second'].map((name) => chainOf(name, blocks, blockBytes));
      const source = await open({});
      for (const { blocks: all } of chains) await source.save(all, { durable: true });
      await source.close();
      const store = await open({ WMBT_KV_S3_READ_BYTES_PER_SEC: '1MiB' });
      const startMs = performance.now();
      await assertThere(store, chains[0]);
      let isLoaded = false;
      const loading = assertThere(store, chains[1]).then(() => (isLoaded = true));
      const asked = times('GET').length;
      assert.equal((await store.lookup(chainOf('third', blocks).keys)).matched, 0);
      assert.ok(times('GET').length > asked, 'the bucket was asked');
      assert.equal(isLoaded, false);
      await loading;
      // The first four went side by side, for nobody knew their length; the others wait for them, and then for each other.
      const least = (2 * blocks - 1) * (blockMs - toleranceMs);
      assert.ok(performance.now() - startMs >= least, `${performance.now() - startMs} ms`);
      await store.close();
    });
  });
});
