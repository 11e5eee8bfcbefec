/**
 * The server's side of the HTTP benchmark, in a process of its own: the store over HTTP, a plain
 * pair of sockets that moves the same bytes with nothing around them, and a server of `node:http`
 * that keeps and sends a batch. Prints their ports as one line of JSON and ends with its input.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { openStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeTcpSockets } from '../../src/platform/tcp-node-sockets.ts';
import type { TcpReceiver, TcpSocket } from '../../src/platform/tcp-sockets.ts';
import { batchBytes, blockBytes } from './http-batch.ts';
import type { ChildPorts } from './http-batch.ts';

const [place] = process.argv.slice(2);
const slab = new Uint8Array(batchBytes).fill(1);
const store = await openStore({
  objectStore: `file://${encodeURI(join(place, 'objects'))}`,
  cacheDirectory: join(place, 'cache'),
});
const platform = { clock: nodePlatform().clock, sockets: nodeTcpSockets };
const server = new HttpServer({ store, platform });
const http = await server.listen({ host: '127.0.0.1', port: 0 });
const plain = await nodeTcpSockets.listen(
  { host: '127.0.0.1', port: 0, backlog: 16 },
  (socket) => new PlainEnd(socket),
);
const nodeHttp = createServer((request, response) => {
  if (request.method === 'GET') {
    response.setHeader('content-length', batchBytes);
    for (const part of batchParts()) response.write(part);
    response.end();
    return;
  }
  let at = 0;
  request.on('data', (chunk: Uint8Array) => {
    slab.set(chunk, at);
    at += chunk.length;
  });
  request.on('end', () => response.end());
});
await new Promise<void>((resolve) => nodeHttp.listen(0, '127.0.0.1', resolve));
const ports: ChildPorts = {
  http: http.port,
  plain: plain.port,
  nodeHttp: (nodeHttp.address() as AddressInfo).port,
};
console.log(JSON.stringify(ports));
process.stdin.resume();
process.stdin.once('end', () => {
  void server
    .close()
    .then(() => store.close())
    .then(() => process.exit(0));
});

function batchParts(): readonly Uint8Array[] {
  return Array.from({ length: batchBytes / blockBytes }, (_, index) =>
    slab.subarray(index * blockBytes, (index + 1) * blockBytes),
  );
}

/** Sends a batch when it gets a short message, takes one and says so when it gets a long one. */
class PlainEnd implements TcpReceiver {
  readonly #socket: TcpSocket;
  readonly #first = new Uint8Array(1);
  #isTaking = false;
  #at = 0;

  constructor(socket: TcpSocket) {
    this.#socket = socket;
  }

  space(): Uint8Array {
    return this.#isTaking ? slab.subarray(this.#at) : this.#first;
  }

  received(_: Uint8Array, count: number): void {
    if (!this.#isTaking) {
      if (this.#first[0] === 0) void this.#socket.write(batchParts());
      else [this.#isTaking, this.#at] = [true, 0];
      return;
    }
    this.#at += count;
    if (this.#at < batchBytes) return;
    this.#isTaking = false;
    void this.#socket.write([Uint8Array.of(1)]);
  }

  ended(): void {
    this.#socket.destroy();
  }

  closed(): void {
    this.#at = 0;
  }
}
