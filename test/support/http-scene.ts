import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type {
  Http,
  HttpBodyPlan,
  HttpOrigin,
  HttpOriginOptions,
  HttpRequest,
} from '../../src/platform/http.ts';

/** Servers and origins of one test, closed in the order in which they came to need each other. */
export class HttpScene {
  readonly #http: Http;
  readonly #opened: { close(): Promise<unknown> }[] = [];

  constructor(http: Http) {
    this.#http = http;
  }

  async close(): Promise<void> {
    for (const thing of this.#opened.splice(0).toReversed()) await thing.close();
  }

  /** Closes it with the rest. */
  own<Thing extends { close(): Promise<unknown> }>(thing: Thing): Thing {
    this.#opened.push(thing);
    return thing;
  }

  open(origin: string, more: Partial<HttpOriginOptions> = {}): HttpOrigin {
    return this.own(this.#http.open({ origin, connectionsMax: 4, ...more }));
  }

  /** A server that does with each connection what the test says, knowing what was sent so far. */
  async serverThat(serve: (socket: Socket, request: string) => void): Promise<string> {
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (text.includes('\r\n\r\n')) serve(socket, text);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.own({
      async close() {
        for (const socket of sockets) socket.destroy();
        await new Promise((closed) => server.close(closed));
      },
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
}

/** A request that collects a short answer. */
export function httpRequest(more: Partial<HttpRequest> = {}): HttpRequest {
  return {
    method: 'GET',
    path: '/',
    headers: {},
    receive: () => ({ kind: 'collect', byteLengthMax: 1000 }),
    deadlineMs: 20_000,
    idleMs: 20_000,
    ...more,
  };
}

/** What makes a request fill that memory. */
export function into(bytes: Uint8Array, isRestDropped = false): Partial<HttpRequest> {
  const plan: HttpBodyPlan = { kind: 'into', bytes, isRestDropped };
  return { receive: () => plan };
}

export const helloAnswer =
  'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Word: one\r\nx-word: two\r\n\r\nhello';
