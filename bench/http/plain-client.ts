import { deferred } from '../../src/base/deferred.ts';
import type { Deferred } from '../../src/base/deferred.ts';
import { HttpClientConnection } from '../../src/client/http-connection.ts';
import { nodeTcpSockets } from '../../src/platform/tcp-node-sockets.ts';
import type { TcpReceiver, TcpSocket } from '../../src/platform/tcp-sockets.ts';
import type { BodySink } from '../../src/protocol/http1-sink.ts';
import { batchBlocks, batchBytes, blockBytes } from './http-batch.ts';

const slab = new Uint8Array(batchBytes).fill(2);

/** One end of the plain pair: bytes straight from and into the same memory, the fastest there is. */
export class PlainClient implements TcpReceiver {
  readonly #socket: Promise<TcpSocket>;
  #wanted = 0;
  #at = 0;
  #done: Deferred<void> = deferred();

  constructor(port: number) {
    const options = { host: '127.0.0.1', port, timeoutMs: 5000 };
    this.#socket = nodeTcpSockets.connect(options, this);
  }

  async get(): Promise<void> {
    await this.#run(batchBytes, [Uint8Array.of(0)]);
  }

  async put(): Promise<void> {
    const parts = Array.from({ length: batchBlocks }, (_, index) =>
      slab.subarray(index * blockBytes, (index + 1) * blockBytes),
    );
    await this.#run(1, [Uint8Array.of(1), ...parts]);
  }

  async close(): Promise<void> {
    (await this.#socket).destroy();
  }

  space(): Uint8Array {
    return this.#at < slab.length ? slab.subarray(this.#at) : new Uint8Array(1);
  }

  received(_: Uint8Array, count: number): void {
    this.#at += count;
    if (this.#at === this.#wanted) this.#done.resolve();
  }

  ended(): void {
    this.#done.reject(new Error('the plain server ended'));
  }

  closed(): void {
    this.#done.resolve();
  }

  async #run(wanted: number, parts: readonly Uint8Array[]): Promise<void> {
    [this.#wanted, this.#at, this.#done] = [wanted, 0, deferred()];
    const socket = await this.#socket;
    await Promise.all([socket.write(parts), this.#done.promise]);
  }
}

/** The client's own connection against `node:http`, so that only the server differs. */
export async function exchangeWithNodeHttp(port: number, kind: 'get' | 'put'): Promise<void> {
  const options = { host: '127.0.0.1', port, timeoutMs: 5000 };
  const connection = await HttpClientConnection.open(nodeTcpSockets, options);
  let at = 0;
  const sink: BodySink = {
    space: () => (at < slab.length ? slab.subarray(at) : new Uint8Array(1)),
    took: (count) => {
      at += count;
    },
    finish: () => undefined,
  };
  const exchange = {
    method: kind === 'get' ? ('GET' as const) : ('POST' as const),
    path: '/',
    headers: [],
    byteLength: kind === 'get' ? 0 : batchBytes,
    body: () => (kind === 'get' ? [] : [slab]),
    receive: () => sink,
  };
  await connection.run(exchange, new AbortController().signal);
  connection.destroy();
}
