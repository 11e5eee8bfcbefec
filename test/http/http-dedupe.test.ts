import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { HttpClientStore } from '../../src/client/http-client-store.ts';
import type { HttpServer } from '../../src/daemon/http-server.ts';
import { openStore } from '../../src/open-store.ts';
import { assertLoadsAll } from '../conformance/kv-store-steps.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { httpPlatform, serveOverHttp } from '../support/http-world.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const mib = 1024 * 1024;
/** Head, table and attributes of a request of some blocks, and the question before it. */
const headBytesMax = 6000;

let directory: TemporaryDirectory;
let store: KvStore;

before(async () => {
  directory = await makeTemporaryDirectory('http-dedupe');
  store = await openStore({ objectStore: 'memory:', cacheDirectory: `${directory.path}/cache` });
});

after(async () => {
  await store.close();
  await directory.remove();
});

/** What the server has received so far. */
function receivedOf(server: HttpServer): { readonly bytes: number; readonly requests: number } {
  const text = server.renderMetrics();
  const bytes = Number(/http_received_bytes_total (\d+)/.exec(text)?.[1]);
  const requests = [...text.matchAll(/http_requests_total\{[^}]*\} (\d+)/g)];
  return { bytes, requests: requests.reduce((sum, [, count]) => sum + Number(count), 0) };
}

/** What it receives of one save of the chain. */
async function receivedFor(
  { blocks }: Chain,
  served: Awaited<ReturnType<typeof serveOverHttp>>,
): Promise<ReturnType<typeof receivedOf> & { readonly saved: number }> {
  const earlier = receivedOf(served.server);
  const { saved, known } = await served.client.save(blocks);
  assert.equal(saved + known, blocks.length);
  const { bytes, requests } = receivedOf(served.server);
  return { saved, bytes: bytes - earlier.bytes, requests: requests - earlier.requests };
}

/**
 * Goal: no payload of a stored block travels. Method: some blocks of a chain are stored, and the bytes of bodies are
 * counted that the server receives of a save of all of it.
 */
describe('a save over HTTP', () => {
  const cases: readonly (readonly [string, number, number, (at: number) => boolean])[] = [
    ['at its end', 6, 100_000, (at) => at >= 2],
    ['in its middle', 6, 100_000, (at) => at === 2 || at === 3],
    ['but its last one', 6, 100_000, (at) => at < 5],
    ['everywhere among new ones', 41, 10_000, (at) => at % 3 === 1],
    ['in each group of a long one', 24, mib, (at) => at % 4 !== 0],
    ['all over', 6, 100_000, () => true],
  ];
  for (const [what, count, length, isStored] of cases) {
    it(`sends no payload of blocks that are stored ${what}, in two requests`, async () => {
      const chain = chainOf(`http-dedupe/${what}`, count, length);
      const stored = chain.blocks.filter((_, at) => isStored(at));
      await store.save(stored);
      const served = await serveOverHttp(store);
      const { saved, bytes, requests } = await receivedFor(chain, served);
      const fresh = count - stored.length;
      assert.equal(saved, fresh);
      const beside = bytes - fresh * length;
      assert.ok(
        beside > 0 && beside < headBytesMax + 150 * count,
        `${beside} bytes beside payloads`,
      );
      assert.equal(requests, 2);
      await assertLoadsAll(served.client, chain);
      await served.client.close();
      await served.server.close();
    });
  }

  it('sends all of it again when a block that was left out is gone', async () => {
    const chain = chainOf('http-dedupe/gone', 20, mib);
    assert.ok(chain.byteLength > limits.saveGroupBytes);
    await store.save(chain.blocks.slice(4, 6));
    // It says of one more block that it is stored.
    const wants = async (...given: Parameters<ServedStore['wants']>): Promise<boolean[]> => {
      const isWanted = await (store as ServedStore).wants(...given);
      return isWanted.map((one, at) => one && at !== 2);
    };
    const forgetful = new Proxy(store, {
      get: (target, name): unknown => {
        if (name === 'wants') return wants;
        const value: unknown = Reflect.get(target, name);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    const served = await serveOverHttp(forgetful);
    const { bytes, requests } = await receivedFor(chain, served);
    assert.equal(requests, 3);
    const fresh = chain.keys.length - 3 + chain.keys.length;
    assert.ok(bytes > fresh * mib && bytes < fresh * mib + 2 * headBytesMax, `${bytes} bytes`);
    await assertLoadsAll(served.client, chain);
    await served.client.close();
    await served.server.close();
  });

  it('leaves out the first blocks alone where the server does not say that it takes more', async () => {
    const chain = chainOf('http-dedupe/older', 6, 20_000);
    const lengths: number[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const isSave = request.url?.endsWith('/save') === true;
        if (isSave) lengths.push(Buffer.concat(chunks).length);
        const stored = chain.keys.map((_, at) => at !== 2);
        const answer = isSave ? { saved: 1, known: 5, savedBytes: 20_000 } : { stored, bulk: 2 };
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const client = new HttpClientStore({ platform: httpPlatform, host: '127.0.0.1', port });
    await client.save(chain.blocks);
    assert.equal(lengths.length, 1);
    assert.ok(lengths[0] > 80_000 && lengths[0] < 81_000, `${lengths[0]} bytes`);
    await client.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
