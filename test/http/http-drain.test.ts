import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { it } from 'node:test';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { openStore } from '../../src/open-store.ts';
import { httpPlatform } from '../support/http-world.ts';

/**
 * Goal: a drain lets go on what is under way, and `close` cuts it short. Method: a request whose body
 * is half there; nothing but its other half, or `close`, can end it in the time of a test.
 */
async function withHalfRequest(
  test: (server: HttpServer, socket: Socket, answer: () => string) => Promise<void>,
): Promise<void> {
  const store = await openStore({ objectStore: 'memory:', cacheDirectory: false });
  const server = new HttpServer({ store: store as ServedStore, platform: httpPlatform });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const socket = connect(port, '127.0.0.1');
  try {
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part;
    });
    const path = `/wmbt/v1/ns/default/blocks/${'ab'.repeat(32)}`;
    const fields = 'host: x\r\nexpect: 100-continue\r\ncontent-length: 6';
    socket.write(`PUT ${path} HTTP/1.1\r\n${fields}\r\n\r\n`);
    // The interim answer shows that the request is under way.
    await once(socket, 'data');
    assert.match(text, /^HTTP\/1\.1 100 /);
    socket.write('abc');
    await test(server, socket, () => text);
  } finally {
    socket.destroy();
    await server.close();
    await store.close();
  }
}

it('a drain waits for the request under way, and takes no new connection', () =>
  withHalfRequest(async (server, socket, answer) => {
    const [{ port }] = server.addresses;
    let isDrained = false;
    const drained = server.drain().then(() => {
      isDrained = true;
    });
    const [refusal] = await once(connect(port, '127.0.0.1'), 'error');
    assert.equal(refusal.code, 'ECONNREFUSED');
    assert.equal(isDrained, false);
    socket.write('def');
    await drained;
    assert.match(answer(), /HTTP\/1\.1 201 /);
  }));

it('close() ends a drain and the request that it waits for', () =>
  withHalfRequest(async (server, socket, answer) => {
    const drained = server.drain();
    // Bytes that nobody read any more may make it a reset.
    socket.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await server.close();
    await Promise.all([drained, ended]);
    assert.doesNotMatch(answer(), /HTTP\/1\.1 201 /);
  }));
