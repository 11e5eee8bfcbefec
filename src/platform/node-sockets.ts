import { lookup } from 'node:dns/promises';
import { createServer, isIPv6, Socket } from 'node:net';
import type { NetConnectOpts, Server } from 'node:net';
import { StoreError } from '../base/errors.ts';
import { NodeConnection } from './node-connection.ts';
import type {
  ConnectOptions,
  ReceiverMaker,
  SocketAddress,
  SocketConnection,
  SocketListener,
  Sockets,
} from './sockets.ts';

/** Connections that wait to be taken, in the system. */
const backlog = 511;

/** Longest path of a socket that every supported system takes (108 with its end mark on Linux). */
const pathBytesMax = 100;

/** Sockets of the machine. */
export const nodeSockets: Sockets = {
  connect: connectSocket,
  listen: listenSocket,
  async resolve(host) {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  },
};

/** The address as people write it. */
export function addressText(address: SocketAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const { host, port } = address;
  return `tcp://${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

async function connectSocket(
  address: SocketAddress,
  { timeoutMs, signal }: ConnectOptions,
  receiverOf: ReceiverMaker,
): Promise<SocketConnection> {
  checkPath(address);
  return new Promise((resolve, reject) => {
    const connection = new NodeConnection(addressText(address));
    const receiver = receiverOf(connection);
    const socket = new Socket(connection.optionsFor(receiver));
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const giveUp = (why: string): void => {
      settle();
      const message = `no connection to ${addressText(address)}: ${why}`;
      socket.destroy(new StoreError('ABORTED', message));
    };
    const onAbort = (): void => giveUp('aborted');
    const timer = setTimeout(() => giveUp(`none within ${timeoutMs} ms`), timeoutMs);
    socket.once('error', (error) => {
      settle();
      reject(error);
    });
    socket.once('connect', () => {
      settle();
      connection.stand(socket, receiver);
      resolve(connection);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    else socket.connect(whereOf(address));
  });
}

async function listenSocket(
  address: SocketAddress,
  receiverOf: ReceiverMaker,
): Promise<SocketListener> {
  checkPath(address);
  const server = createServer({ pauseOnConnect: true, noDelay: true });
  server.on('connection', (socket) => {
    const { remoteAddress, remotePort } = socket;
    const peer =
      remoteAddress === undefined || remotePort === undefined
        ? addressText(address)
        : addressText({ kind: 'tcp', host: remoteAddress, port: remotePort });
    NodeConnection.adopt(socket, peer, receiverOf);
  });
  await bind(server, address);
  const bound = server.address();
  const isTcp = address.kind === 'tcp' && typeof bound === 'object' && bound !== null;
  return {
    address: isTcp ? { kind: 'tcp', host: address.host, port: bound.port } : address,
    close: () =>
      new Promise((resolve) => {
        // Its event waits for the connections; they are not the listener's business.
        server.close();
        setImmediate(resolve);
      }),
  };
}

function checkPath(address: SocketAddress): void {
  const byteLength = address.kind === 'unix' ? Buffer.byteLength(address.path) : 0;
  if (byteLength <= pathBytesMax) return;
  throw new StoreError(
    'INVALID',
    `path of a socket may have ${pathBytesMax} bytes; got ${byteLength}: ${addressText(address)}`,
  );
}

function whereOf(address: SocketAddress): NetConnectOpts {
  return address.kind === 'unix'
    ? { path: address.path }
    : { host: address.host, port: address.port };
}

function bind(server: Server, address: SocketAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The file of a socket is made within this call: it is never open to others.
    const mask = address.kind === 'unix' ? process.umask(0o177) : undefined;
    server.listen({ ...whereOf(address), backlog, exclusive: true }, () => {
      server.removeListener('error', reject);
      // What goes wrong with one connection ends neither the listener nor the process.
      server.on('error', () => undefined);
      resolve();
    });
    if (mask !== undefined) process.umask(mask);
  });
}
