import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { openStore } from '../../src/open-store.ts';
import { chainOf } from '../support/chains.ts';
import { httpPlatform } from '../support/http-world.ts';
import { badRequests, chunked, get, post } from './bad-requests.ts';

/**
 * Goal: RFC 9112 §11.2, no request hides in another. Method: a real server, a stored block, and requests that carry
 * one that would delete it where some reader would take it for a request. Each is answered as it should be, and the
 * block stays.
 */
const limits = { headMs: 2000, bodyMs: 2000, idleMs: 300, lingerMs: 20, connectionsMax: 64 };
const chain = chainOf('smuggled', 1, 1000);
const [key] = chain.keys;
const hidden = `DELETE /wmbt/v1/ns/default/blocks/${key} HTTP/1.1\r\nHost: h\r\n\r\n`;
/** Requests that store another block each, whose bodies are read: that of a flush is not. */
const flush = 'POST /wmbt/v1/flush';
const putOf = (seed: string): string =>
  `PUT /wmbt/v1/ns/default/blocks/${chainOf(seed, 1).keys[0]}`;
const put = (seed: string): string => post.replace(flush, putOf(seed));
const putChunked = (seed: string): string => chunked.replace(flush, putOf(seed));
const ping = 'GET /wmbt/v1/ping HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n';

let store: KvStore;
let server: HttpServer;
let port: number;

before(async () => {
  store = await openStore({ objectStore: 'memory:' });
  await store.save(chain.blocks, { durable: true });
  server = new HttpServer({ store: store as ServedStore, platform: httpPlatform, limits });
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
});

after(async () => {
  await server.close();
  await store.close();
});

/** Statuses of all answers on one connection, until the server closes it. */
async function statusesOf(bytes: string): Promise<readonly number[]> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  // What it sends behind a refusal may meet a closed door.
  socket.on('error', () => undefined);
  socket.write(bytes, 'latin1');
  await once(socket, 'close');
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

async function assertStored(): Promise<void> {
  assert.deepEqual(await store.contains(chain.keys), [true]);
}

describe('a request behind one that is refused', { concurrency: 16 }, () => {
  for (const { rule, bytes, status } of badRequests) {
    it(`is never run: ${rule}`, async () => {
      assert.deepEqual(await statusesOf(bytes.replace(flush, putOf('refused')) + hidden), [status]);
      await assertStored();
    });
  }
});

/** By name: where it hides, what is sent, and what is answered. A `ping` follows each. */
const places: readonly (readonly [string, string, readonly number[]])[] = [
  [
    'the body that Content-Length ends',
    `${put('length')}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
    [201, 200],
  ],
  [
    'a chunk',
    `${putChunked('chunk')}${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`,
    [201, 200],
  ],
  [
    'the extension of a chunk',
    `${putChunked('extension')}1;${hidden.split('\r\n')[0]}\r\nx\r\n0\r\n\r\n`,
    [201, 200],
  ],
  ['a trailer, which ends the message', `${putChunked('trailer')}0\r\nA: b\r\n${hidden}`, [400]],
  ['the value of a header', `${get}A: ${hidden.split('\r\n')[0]}\r\n\r\n`, [200, 200]],
  [
    'the body of a GET (CL.0)',
    `${get}Content-Length: ${hidden.length}\r\n\r\n${hidden}`,
    [200, 200],
  ],
  [
    'the body of a HEAD',
    `HEAD /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    [200, 200],
  ],
  [
    'the body of what is not found',
    `PUT /nothing HTTP/1.1\r\nHost: h\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    [404, 200],
  ],
  [
    'a body that is expected to be asked for, and is not',
    `PUT /nothing HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
    [404],
  ],
  ['what follows a request that says close', `${get}Connection: close\r\n\r\n${hidden}`, [200]],
  ['what follows an answer to HTTP/1.0', `GET /healthz HTTP/1.0\r\n\r\n${hidden}`, [200]],
];

describe('RFC 9112 §11.2: a request is none', { concurrency: 16 }, () => {
  for (const [place, bytes, statuses] of places) {
    it(`in ${place}`, async () => {
      assert.deepEqual(await statusesOf(bytes + ping), statuses);
      await assertStored();
    });
  }
});

it('the request that hides there deletes the block when it is one', async () => {
  const other = chainOf('not smuggled', 1, 1000);
  await store.save(other.blocks);
  const open = hidden.replace(key, other.keys[0]);
  assert.deepEqual(await statusesOf(`${get}\r\n${open}${ping}`), [200, 200, 200]);
  assert.deepEqual(await store.contains(other.keys), [false]);
});
