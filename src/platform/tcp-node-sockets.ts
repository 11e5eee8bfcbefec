import { createServer, Socket } from 'node:net';
import type { AddressInfo, OnReadOpts, Server } from 'node:net';
import { messageOf, StoreError } from '../base/errors.ts';
import type {
  TcpConnectOptions,
  TcpListener,
  TcpListenOptions,
  TcpReceiver,
  TcpSocket,
  TcpSockets,
} from './tcp-sockets.ts';

/** TCP by Node, with bytes received directly into the memory of the receiver. */
export const nodeTcpSockets: TcpSockets = { listen, connect };

async function listen(
  options: TcpListenOptions,
  accept: (socket: TcpSocket) => TcpReceiver,
): Promise<TcpListener> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
    adopt(socket, accept);
  });
  const { host, port, backlog } = options;
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void => {
      const message = `cannot listen on ${host}:${port}: ${cause.message}`;
      reject(new StoreError('UNAVAILABLE', message, { cause }));
    };
    server.once('error', onError);
    server.listen({ host, port, backlog, exclusive: true }, () => {
      server.removeListener('error', onError);
      // Out of descriptors, say: the connection is lost, the listener goes on.
      server.on('error', () => undefined);
      resolve();
    });
  });
  const address = addressOf(server);
  return {
    host: address.address,
    port: address.port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      }),
  };
}

function connect(options: TcpConnectOptions, receiver: TcpReceiver): Promise<TcpSocket> {
  const { host, port, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const connection = new NodeTcpSocket(`${host}:${port}`, receiver);
    const socket = new Socket({ allowHalfOpen: true, ...withOnRead(connection) });
    const fail = (code: 'UNAVAILABLE' | 'ABORTED', why: string, cause?: unknown): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      reject(new StoreError(code, `no connection to ${host}:${port}: ${why}`, { cause }));
    };
    const onError = (error: Error): void => fail('UNAVAILABLE', messageOf(error), error);
    const onAbort = (): void => fail('ABORTED', 'aborted', signal?.reason);
    const timer = setTimeout(() => {
      fail('UNAVAILABLE', `none within ${timeoutMs} ms`);
    }, timeoutMs);
    if (signal?.aborted === true) {
      onAbort();
      return;
    }
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', onError);
    socket.once('connect', () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.removeListener('error', onError);
      connection.attach(socket);
      resolve(connection);
    });
    socket.connect({ host, port });
  });
}

/**
 * A socket of a server cannot be told where to read to, so its handle moves to one that can. Node
 * does not document this; where it does not work, bytes are copied to the receiver instead.
 */
function adopt(accepted: Socket, accept: (socket: TcpSocket) => TcpReceiver): void {
  const holder = accepted as unknown as { _handle: unknown };
  const handle = holder._handle;
  // The peer may be gone already.
  if (handle === null || accepted.destroyed) return;
  const connection = new NodeTcpSocket(peerOf(accepted));
  connection.receiver = accept(connection);
  if (typeof handle !== 'object') {
    connection.attachCopying(accepted);
    return;
  }
  holder._handle = null;
  // Without a handle this only tells the server that the connection is not its own any more.
  accepted.destroy();
  const options = { handle, allowHalfOpen: true, ...withOnRead(connection) };
  const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
  connection.attach(socket);
  socket.resume();
  socket.read(0);
}

/** Takes a socket whose bytes lie in memory of its own, as those of TLS do, and copies them. */
export function attachCopying(
  socket: Socket,
  peer: string,
  accept: (socket: TcpSocket) => TcpReceiver,
): TcpSocket {
  const connection = new NodeTcpSocket(peer);
  connection.receiver = accept(connection);
  connection.attachCopying(socket);
  return connection;
}

function withOnRead(connection: NodeTcpSocket): { readonly onread: OnReadOpts } {
  return {
    onread: {
      buffer: () => connection.space(),
      callback: (count, memory) => {
        connection.receiver?.received(memory as Uint8Array, count);
        return true;
      },
    },
  };
}

function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') {
    throw new StoreError('UNAVAILABLE', 'the listener has no address');
  }
  return address;
}

class NodeTcpSocket implements TcpSocket {
  readonly peer: string;
  receiver: TcpReceiver | undefined;
  #socket: Socket | undefined;
  #error: Error | undefined;
  #isCopying = false;

  constructor(peer: string, receiver?: TcpReceiver) {
    this.peer = peer;
    this.receiver = receiver;
  }

  attach(socket: Socket): void {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('end', () => this.receiver?.ended());
    socket.on('close', () => this.receiver?.closed(this.#error));
  }

  attachCopying(socket: Socket): void {
    this.#isCopying = true;
    this.attach(socket);
    socket.on('data', (chunk: Uint8Array) => this.copyIn(chunk));
    socket.resume();
  }

  space(): Uint8Array {
    if (this.receiver === undefined) throw new RangeError('the socket has no receiver');
    return this.receiver.space();
  }

  copyIn(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      const memory = this.space();
      const part = chunk.subarray(at, at + memory.length);
      memory.set(part);
      at += part.length;
      this.receiver?.received(memory, part.length);
    }
  }

  write(parts: readonly Uint8Array[]): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      if (socket === undefined || socket.destroyed || parts.length === 0) {
        if (parts.length === 0) resolve();
        else reject(this.#lost(this.#error));
        return;
      }
      if (parts.length > 1) socket.cork();
      const last = parts.length - 1;
      parts.forEach((part, index) => {
        if (index < last) socket.write(part);
        else socket.write(part, (error) => (error ? reject(this.#lost(error)) : resolve()));
      });
      if (parts.length > 1) socket.uncork();
    });
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  end(): void {
    this.#socket?.end();
  }

  destroy(): void {
    this.#socket?.destroy();
  }

  reset(): void {
    // Only a socket of the system's own can be reset.
    if (this.#isCopying) this.#socket?.destroy();
    else this.#socket?.resetAndDestroy();
  }

  #lost(cause: Error | undefined): StoreError {
    const why = cause === undefined ? 'it is closed' : cause.message;
    return new StoreError('UNAVAILABLE', `connection to ${this.peer} is lost: ${why}`, { cause });
  }
}
