import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { randomPayload } from '../../test/support/payloads.ts';
import { DelayRelay } from './delay-relay.ts';

const mib = 1024 * 1024;

/** Resolves when the socket is closed, by an error or not. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
  });
}

describe('DelayRelay', () => {
  const ends: (() => Promise<unknown>)[] = [];

  afterEach(async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  });

  async function serve(onConnection: (socket: Socket) => void): Promise<number> {
    const sockets: Socket[] = [];
    const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      onConnection(socket);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ends.push(async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    });
    return (server.address() as AddressInfo).port;
  }

  async function relayTo(targetPort: number, delayMs: number): Promise<DelayRelay> {
    const relay = await DelayRelay.start({ targetPort, delayMs });
    ends.push(() => relay.stop());
    return relay;
  }

  async function connectTo(port: number): Promise<Socket> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    ends.push(() => Promise.resolve(socket.destroy()));
    return socket;
  }

  it('makes a round trip longer by both delays', async () => {
    const port = await serve((socket) => socket.pipe(socket));
    const relay = await relayTo(port, 40);
    const socket = await connectTo(relay.port);
    const startMs = performance.now();
    socket.write('ping');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    const tookMs = performance.now() - startMs;
    assert.equal(String(answer), 'ping');
    assert.ok(tookMs >= 80, `a round trip took ${tookMs} ms`);
  });

  it('hands on every byte in order, and the end of each direction after it', async () => {
    const port = await serve((socket) => socket.pipe(socket));
    const relay = await relayTo(port, 5);
    const socket = await connectTo(relay.port);
    const sent = randomPayload('relay', 3 * mib + 7);
    socket.end(sent);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    assert.ok(Buffer.concat(chunks).equals(sent), 'what came back differs from what was sent');
  });

  it('does not slow down what flows: many chunks are on their way at once', async () => {
    const port = await serve((socket) => socket.end(Buffer.alloc(8 * mib)));
    const relay = await relayTo(port, 50);
    const startMs = performance.now();
    const socket = await connectTo(relay.port);
    let received = 0;
    for await (const chunk of socket) received += (chunk as Buffer).length;
    assert.equal(received, 8 * mib);
    // One chunk of 64 KiB after another would take 128 times 50 ms.
    assert.ok(performance.now() - startMs < 3000);
  });

  it('takes no more from a sender than its bound while the receiver does not read', async () => {
    const server = { sent: 0 };
    const port = await serve((socket) => {
      const chunk = Buffer.alloc(mib);
      const send = (): void => {
        while (socket.writableLength < mib && server.sent < 256 * mib) {
          server.sent += chunk.length;
          socket.write(chunk, () => undefined);
        }
      };
      socket.on('drain', send);
      send();
    });
    const relay = await relayTo(port, 1);
    const socket = await connectTo(relay.port);
    socket.pause();
    let before = -1;
    while (server.sent !== before) {
      before = server.sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    // Its own 16 MiB, and what kernels hold on three ways.
    assert.ok(server.sent < 64 * mib, `${server.sent} bytes were taken`);
  });

  it('breaks both sides when one breaks, and answers nobody once it is stopped', async () => {
    const closed: Promise<unknown>[] = [];
    const port = await serve((socket) => closed.push(closeOf(socket.resume())));
    const relay = await relayTo(port, 1);
    const first = await connectTo(relay.port);
    first.write('x');
    await new Promise((resolve) => setTimeout(resolve, 50));
    first.resetAndDestroy();
    await closed[0];
    const second = await connectTo(relay.port);
    const ended = closeOf(second.resume());
    await relay.stop();
    await ended;
    ends.splice(1, 1);
    await assert.rejects(connectTo(relay.port), { code: 'ECONNREFUSED' });
  });

  it('waits for nothing any more once it is stopped, however long the bytes were to be held', async () => {
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const port = await serve((socket) => socket.resume());
    const before = timers();
    const relay = await relayTo(port, 3_600_000);
    const socket = await connectTo(relay.port);
    const ended = closeOf(socket.resume());
    socket.write('x');
    while (timers() === before) await new Promise((resolve) => setImmediate(resolve));
    await relay.stop();
    await ended;
    assert.equal(timers(), before);
  });
});
