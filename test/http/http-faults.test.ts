import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { HttpClientStore } from '../../src/client/http-client-store.ts';
import type { HttpClientLimits } from '../../src/client/http-limits.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { openStore } from '../../src/open-store.ts';
import { assertLoadsAll, assertRejects } from '../conformance/kv-store-steps.ts';
import { chainOf } from '../support/chains.ts';
import { httpPlatform, serveOverHttp } from '../support/http-world.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

/** A machine that is busy with other tests may take longer than a call waits for a server. */
const limits = { callMs: 2000, graceMs: 50, recoverMs: 1000 };
/** For calls that succeed, or fail before their time is over. */
const patient = { ...limits, callMs: 20_000 };
const clients: HttpClientStore[] = [];
const chain = chainOf('http-faults', 8, 200_000);

let directory: TemporaryDirectory;
let store: KvStore;

before(async () => {
  directory = await makeTemporaryDirectory('http-faults');
  store = await openStore({ objectStore: 'memory:', cacheDirectory: `${directory.path}/cache` });
});

after(async () => {
  for (const client of clients) await client.close();
  await store.close();
  await directory.remove();
});

function clientOf(port: number, bounds: Partial<HttpClientLimits> = limits): HttpClientStore {
  const where = { host: '127.0.0.1', port };
  const client = new HttpClientStore({ platform: httpPlatform, ...where, limits: bounds });
  clients.push(client);
  return client;
}

/** A server that treats each connection as it likes, on a port of its own. */
async function withServer(
  onConnection: (socket: Socket, count: number) => void,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    count += 1;
    onConnection(socket, count);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Passes everything on to the port, but for what `cut` says of each connection in bytes. */
function relayTo(port: number, cut: (count: number) => number) {
  return (socket: Socket, count: number): void => {
    let left = cut(count);
    const other = connect(port, '127.0.0.1');
    other.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => other.write(chunk));
    other.on('data', (chunk: Buffer) => {
      socket.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) socket.destroy();
    });
    socket.on('close', () => other.destroy());
    other.on('close', () => socket.destroy());
  };
}

describe('an HTTP client', () => {
  it('goes on by itself when the server was ended and started again', async () => {
    const { server, client: first } = await serveOverHttp(store);
    const [{ port }] = server.addresses;
    await first.save(chain.blocks);
    await first.close();
    const client = clientOf(port, patient);
    await assertLoadsAll(client, chain);
    for (let round = 0; round < 3; round += 1) {
      await server.close();
      await assertRejects(() => client.lookup(chain.keys), 'UNAVAILABLE');
      const beganMs = performance.now();
      for (let call = 0; call < 5; call += 1) {
        await assertRejects(() => client.lookup(chain.keys), 'UNAVAILABLE');
      }
      const perCallMs = (performance.now() - beganMs) / 5;
      assert.ok(perCallMs < 1500, `${perCallMs} ms until a call learns that nobody is there`);
      const next = new HttpServer({ store: store as ServedStore, platform: httpPlatform });
      await next.listen({ host: '127.0.0.1', port });
      await assertLoadsAll(client, chain);
      await next.close();
    }
  });

  it('waits for a server that has just come back and takes its time for the first answer', async () => {
    const { server, client: first } = await serveOverHttp(store);
    await first.save(chain.blocks);
    await first.close();
    const [{ port: realPort }] = server.addresses;
    const gate = createServer((socket) => {
      const other = connect(realPort, '127.0.0.1');
      socket.on('error', () => undefined);
      other.on('error', () => undefined);
      socket.on('close', () => other.destroy());
      setTimeout(() => socket.pipe(other).pipe(socket), 150);
    });
    const listen = (port: number): Promise<void> =>
      new Promise((resolve) => gate.listen(port, '127.0.0.1', resolve));
    await listen(0);
    const { port } = gate.address() as AddressInfo;
    await new Promise((resolve) => gate.close(resolve));
    // More than usual, for a machine that is busy may take longer.
    const client = clientOf(port, { reachedMs: 5000 });
    await assertRejects(() => client.lookup(chain.keys), 'UNAVAILABLE');
    await listen(port);
    const options = { deadlineMs: 20_000 };
    assert.equal((await client.lookup(chain.keys, options)).matched, chain.keys.length);
    await client.close();
    gate.close();
    await server.close();
  });

  it('repeats what a broken connection cut off, in mid-head and mid-body', async () => {
    const { server, client } = await serveOverHttp(store);
    await client.save(chain.blocks);
    const [{ port }] = server.addresses;
    for (const bytes of [1, 40, 500, 100_000, 1_500_000]) {
      // The first connection is cut after so many bytes; the second one is left alone.
      await withServer(
        relayTo(port, (count) => (count === 1 ? bytes : Infinity)),
        (relay) => assertLoadsAll(clientOf(relay, patient), chain).then(() => undefined),
      );
    }
    await withServer(
      relayTo(port, () => 100_000),
      (relay) => assertRejects(() => clientOf(relay).load(chain.keys), 'UNAVAILABLE'),
    );
    await client.close();
    await server.close();
  });

  it('follows no redirect', () =>
    withServer(
      (socket) =>
        socket.on('data', () =>
          socket.write('HTTP/1.1 307 Elsewhere\r\nLocation: /\r\nContent-Length: 0\r\n\r\n'),
        ),
      (port) => assertRejects(() => clientOf(port).lookup(chain.keys), 'UNAVAILABLE'),
    ));

  it('takes nothing from a server that speaks nonsense, claims too much or says too much', async () => {
    const bulk = 'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.wombatkv.bulk\r\n';
    for (const answer of [
      'SSH-2.0-OpenSSH\r\n\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}',
      'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno!',
      `${bulk}Content-Length: 24\r\n\r\n${'x'.repeat(24)}`,
      `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(20_000)}`,
    ]) {
      await withServer(
        (socket) => socket.on('data', () => socket.write(answer)),
        (port) =>
          assertRejects(() => clientOf(port).load(chain.keys), ['UNAVAILABLE', 'INVALID'], answer),
      );
    }
  });

  it('ends by its deadline when the server takes requests and never answers', () =>
    withServer(
      () => undefined,
      async (port) => {
        const client = clientOf(port, patient);
        const beganMs = performance.now();
        await assertRejects(() => client.lookup(chain.keys, { deadlineMs: 100 }), 'UNAVAILABLE');
        await assertRejects(() => client.save(chain.blocks, { deadlineMs: 100 }), 'UNAVAILABLE');
        assert.ok(performance.now() - beganMs < 10_000, 'both ended soon');
      },
    ));

  it('gives BUSY when too many calls wait for a connection', () =>
    withServer(
      () => undefined,
      async (port) => {
        const client = new HttpClientStore({
          platform: httpPlatform,
          ...{ host: '127.0.0.1', port },
          limits: { ...limits, connectionsMax: 1, bulkConnectionsMax: 1, waitingMax: 2 },
        });
        const calls = Array.from({ length: 4 }, () => client.lookup(chain.keys));
        await assertRejects(() => calls[3], 'BUSY');
        const others = calls.slice(0, 3).map((call) => assertRejects(() => call, 'CLOSED'));
        await client.close();
        await Promise.all(others);
      },
    ));

  it('moves no bytes of what is stored, and sends again what was lost meanwhile', async () => {
    const { server, client } = await serveOverHttp(store);
    const fresh = chainOf('http-dedupe', 6, 100_000);
    assert.deepEqual(await client.save(fresh.blocks.slice(0, 4)), {
      saved: 4,
      known: 0,
      savedBytes: 400_000,
    });
    const before = /http_received_bytes_total (\d+)/.exec(server.renderMetrics())?.[1];
    assert.deepEqual(await client.save(fresh.blocks), { saved: 2, known: 4, savedBytes: 200_000 });
    const afterwards = /http_received_bytes_total (\d+)/.exec(server.renderMetrics())?.[1];
    const moved = Number(afterwards) - Number(before);
    assert.ok(moved > 200_000 && moved < 202_000, `${moved} bytes moved`);
    const result = await client.save(fresh.blocks, { durable: true });
    assert.deepEqual([result.saved, result.known], [0, 6]);
    assert.equal((await client.stats()).pending, 0);
    await client.close();
    await server.close();
  });

  it('sends payloads from the first to the last to a server that does not say it takes them otherwise', async () => {
    const magics: string[] = [];
    const server = createHttpServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const isSave = request.url?.endsWith('/save') === true;
        if (isSave) magics.push(Buffer.concat(chunks).subarray(0, 8).toString());
        const saved = { saved: chain.keys.length, known: 0, savedBytes: chain.byteLength };
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify(isSave ? saved : { stored: chain.keys.map(() => false) }));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = clientOf((server.address() as AddressInfo).port);
    assert.equal((await client.save(chain.blocks)).saved, chain.keys.length);
    assert.deepEqual(magics, ['WMBTHTP1']);
    await client.close();
    await new Promise((resolve) => server.close(resolve));
  });
});
