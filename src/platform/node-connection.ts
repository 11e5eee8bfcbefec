import { Socket } from 'node:net';
import type { OnReadOpts } from 'node:net';
import { assert, assertDefined } from '../base/assert.ts';
import { StoreError } from '../base/errors.ts';
import type { ReceiverMaker, SocketConnection, SocketReceiver } from './sockets.ts';

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/**
 * One socket of Node whose bytes are read straight into the receiver's memory (`onread` with a
 * function that gives the next place). Reading by `data` events takes two to three times the
 * processor time for bulk.
 */
export class NodeConnection implements SocketConnection {
  readonly peer: string;
  #socket: Socket | undefined;
  readonly #waiting = new Set<Waiter>();
  #isClosed = false;
  #failure: Error | undefined;

  constructor(peer: string) {
    this.peer = peer;
  }

  /**
   * Takes a connection from a server. Node reads straight into given memory only on sockets that it
   * is told so when they are made, so the handle moves into a new socket. Where there is no handle
   * to move, bytes are copied from `data` events instead.
   */
  static adopt(accepted: Socket, peer: string, receiverOf: ReceiverMaker): void {
    const connection = new NodeConnection(peer);
    const receiver = receiverOf(connection);
    const handle = takeHandle(accepted);
    if (handle === undefined) {
      connection.#standCopying(accepted, receiver);
      return;
    }
    const onread = connection.readInto(receiver);
    // The options of a handle and of `onread` are not in the types of the constructor.
    const options: object = { handle, onread, allowHalfOpen: false };
    const socket = new Socket(options);
    connection.stand(socket, receiver);
    socket.read(0);
  }

  /** Takes a socket whose bytes lie in memory of its own, as those of TLS do, and copies them. */
  static copying(socket: Socket, peer: string, receiverOf: ReceiverMaker): NodeConnection {
    const connection = new NodeConnection(peer);
    connection.#standCopying(socket, receiverOf(connection));
    return connection;
  }

  #standCopying(socket: Socket, receiver: SocketReceiver): void {
    this.stand(socket, receiver);
    socket.on('data', (chunk) => this.#copyInto(receiver, chunk));
    socket.resume();
  }

  /** The option by which a socket reads into the receiver's memory. */
  readInto(receiver: SocketReceiver): OnReadOpts {
    return {
      buffer: () => receiver.nextBuffer(),
      callback: (count) => {
        this.#deliver(receiver, count);
        return true;
      },
    };
  }

  /** The socket is connected: from now on its end is the receiver's business. */
  stand(socket: Socket, receiver: SocketReceiver): void {
    assert(this.#socket === undefined, 'a connection stands once');
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#failure ??= error;
    });
    socket.once('close', () => {
      this.#isClosed = true;
      const reason = this.#failure ?? new StoreError('UNAVAILABLE', `${this.peer} has gone`);
      for (const waiter of this.#waiting) waiter.reject(reason);
      this.#waiting.clear();
      receiver.closed(this.#failure);
    });
  }

  get queuedBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  write(parts: readonly Uint8Array[]): void {
    const socket = assertDefined(this.#socket, 'the socket of a connection');
    if (this.#isClosed || socket.destroyed) return;
    socket.cork();
    for (const part of parts) socket.write(part);
    socket.uncork();
  }

  flushed(): Promise<void> {
    const socket = assertDefined(this.#socket, 'the socket of a connection');
    if (this.#isClosed || socket.destroyed) {
      return Promise.reject(
        this.#failure ?? new StoreError('UNAVAILABLE', `${this.peer} has gone`),
      );
    }
    if (socket.writableLength === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      this.#waiting.add(waiter);
      // Its callback comes when all that was written before it is with the system.
      socket.write(empty, (error) => {
        if (error !== undefined && error !== null) return;
        this.#waiting.delete(waiter);
        resolve();
      });
    });
  }

  setReading(isReading: boolean): void {
    if (isReading) this.#socket?.resume();
    else this.#socket?.pause();
  }

  setAwaited(isAwaited: boolean): void {
    if (isAwaited) this.#socket?.ref();
    else this.#socket?.unref();
  }

  end(): void {
    this.#socket?.end();
  }

  destroy(cause?: Error): void {
    this.#failure ??= cause;
    this.#socket?.destroy();
  }

  #deliver(receiver: SocketReceiver, count: number): void {
    if (this.#isClosed) return;
    try {
      receiver.received(count);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #copyInto(receiver: SocketReceiver, chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length && this.#socket?.destroyed === false;) {
      const into = receiver.nextBuffer();
      const part = chunk.subarray(at, at + into.length);
      into.set(part);
      at += part.length;
      this.#deliver(receiver, part.length);
    }
  }
}

const empty = new Uint8Array(0);

/** Takes the system's handle out of a socket, which is of no use afterwards. */
function takeHandle(socket: Socket & { _handle?: unknown }): object | undefined {
  const handle: unknown = socket._handle;
  if (typeof handle !== 'object' || handle === null) return undefined;
  socket._handle = null;
  // Without its handle this only tells the server that one connection less is its own.
  socket.destroy();
  return handle;
}
