import { Socket } from 'node:net';
import type { OnReadOpts, SocketConstructorOpts } from 'node:net';
import { assert, assertDefined } from '../base/assert.ts';
import { StoreError } from '../base/errors.ts';
import { nativeCodeInUse } from './native.ts';
import { PacedWriter } from './paced-writer.ts';
import { resetSocket } from './reset-socket.ts';
import type { ReceiverMaker, SocketConnection, SocketReceiver } from './sockets.ts';

/**
 * Bytes that one connection may bring before others have their turn. Node goes on reading as long as
 * the system fills what it is given, up to 32 times: with pieces of 1 MiB that is tens of milliseconds
 * in which a small call waits.
 */
const turnBytesMax = 1024 * 1024;

/** Where a connection that has ended would read to. */
const nowhere = new Uint8Array(1024);

/**
 * One socket of Node whose bytes are read straight into the receiver's memory (`onread` with a
 * function that gives the next place). Reading by `data` events takes two to three times the
 * processor time for bulk.
 */
export class NodeConnection implements SocketConnection {
  readonly peer: string;
  #socket: Socket | undefined;
  #writer: PacedWriter | undefined;
  #isClosed = false;
  /** Bytes come by `data` events, in memory of Node's. */
  #isCopying = false;
  /** What the receiver gave for the next bytes, when they are copied. */
  #into: Uint8Array | undefined;
  /** Bytes of the memory that was given for the next read. */
  #offeredBytes = 0;
  /** Bytes that came without pause, each read as many as there was memory for. */
  #turnBytes = 0;
  /** Nothing is read until the next turn of the event loop. */
  #isResting = false;
  /** Nothing is read until the owner says so. */
  #isHeld = false;
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
    // The option of a handle is not in the types of the constructor.
    const options: object = { handle, ...connection.optionsFor(receiver) };
    const socket = new Socket(options);
    connection.stand(socket, receiver);
    socket.resume();
    socket.read(0);
  }

  /** Takes a socket whose bytes lie in memory of its own, as those of TLS do, and copies them. */
  static copying(socket: Socket, peer: string, receiverOf: ReceiverMaker): NodeConnection {
    const connection = new NodeConnection(peer);
    connection.#standCopying(socket, receiverOf(connection));
    return connection;
  }

  #standCopying(socket: Socket, receiver: SocketReceiver): void {
    this.#isCopying = true;
    socket.allowHalfOpen = receiver.ended !== undefined;
    this.stand(socket, receiver);
    socket.on('data', (chunk) => this.#copyInto(receiver, chunk));
    socket.resume();
  }

  /** How a socket is made that reads into the receiver's memory. */
  optionsFor(receiver: SocketReceiver): SocketConstructorOpts & { readonly onread: OnReadOpts } {
    return {
      allowHalfOpen: receiver.ended !== undefined,
      onread: {
        buffer: () => {
          const memory = this.#nextBuffer(receiver);
          this.#offeredBytes = memory.length;
          return memory;
        },
        callback: (count) => {
          const isFull = count === this.#offeredBytes;
          this.#deliver(receiver, count);
          return this.#mayReadOn(isFull ? count : 0);
        },
      },
    };
  }

  /** The socket is connected: from now on its end is the receiver's business. */
  stand(socket: Socket, receiver: SocketReceiver): void {
    assert(this.#socket === undefined, 'a connection stands once');
    this.#socket = socket;
    const writer = new PacedWriter(socket);
    this.#writer = writer;
    socket.setNoDelay(true);
    socket.on('error', (error) => {
      this.#failure ??= error;
    });
    if (receiver.ended !== undefined) socket.on('end', () => receiver.ended?.());
    socket.once('close', () => {
      this.#isClosed = true;
      writer.closed(this.#reason);
      receiver.closed(this.#failure);
    });
  }

  get queuedBytes(): number {
    return this.#writer?.queuedBytes ?? 0;
  }

  write(parts: readonly Uint8Array[]): void {
    const socket = assertDefined(this.#socket, 'the socket of a connection');
    if (this.#isClosed || socket.destroyed) return;
    this.#writer?.write(parts);
  }

  flushed(): Promise<void> {
    const writer = assertDefined(this.#writer, 'the socket of a connection');
    if (this.#isClosed || this.#socket?.destroyed === true) return Promise.reject(this.#reason);
    return writer.flushed();
  }

  acknowledge(): void {
    const descriptor = this.#isCopying ? -1 : descriptorOf(this.#socket);
    if (descriptor >= 0) nativeCodeInUse()?.acknowledge(descriptor);
  }

  setReading(isReading: boolean): void {
    this.#isHeld = !isReading;
    if (!isReading) this.#socket?.pause();
    else if (!this.#isResting) this.#socket?.resume();
  }

  setAwaited(isAwaited: boolean): void {
    if (isAwaited) this.#socket?.ref();
    else this.#socket?.unref();
  }

  end(): void {
    this.#writer?.end();
  }

  destroy(cause?: Error): void {
    this.#failure ??= cause;
    this.#socket?.destroy();
  }

  reset(): void {
    const socket = this.#socket;
    // Only a socket of TCP itself can be reset, not one of TLS around it.
    if (this.#isCopying || socket?.remotePort === undefined) socket?.destroy();
    else resetSocket(socket);
  }

  /** Why nothing more comes or goes. */
  get #reason(): Error {
    return this.#failure ?? new StoreError('UNAVAILABLE', `${this.peer} has gone`);
  }

  /**
   * Whether the system is asked for more at once. It is as long as it fills what it is given, up to
   * so many bytes in a row: other connections wait meanwhile.
   */
  #mayReadOn(countInFull: number): boolean {
    this.#turnBytes = countInFull === 0 ? 0 : this.#turnBytes + countInFull;
    if (this.#turnBytes < turnBytesMax) return true;
    this.#turnBytes = 0;
    this.#isResting = true;
    setImmediate(() => {
      this.#isResting = false;
      if (!this.#isHeld && !this.#isClosed) this.#socket?.resume();
    });
    return false;
  }

  #deliver(receiver: SocketReceiver, count: number): void {
    if (this.#isClosed) return;
    try {
      receiver.received(count);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** What the receiver throws ends the connection, and nothing else: Node calls this where nobody would catch it. */
  #nextBuffer(receiver: SocketReceiver): Uint8Array {
    try {
      return receiver.nextBuffer();
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)));
      return nowhere;
    }
  }

  #copyInto(receiver: SocketReceiver, chunk: Uint8Array): void {
    const isAlive = (): boolean => this.#socket?.destroyed === false;
    for (let at = 0; at < chunk.length && isAlive();) {
      const into = this.#into ?? this.#nextBuffer(receiver);
      this.#into = undefined;
      const part = chunk.subarray(at, at + into.length);
      into.set(part);
      at += part.length;
      this.#deliver(receiver, part.length);
      // Asked for at once, as a receiver may expect: it may go by that its last memory is done with.
      if (isAlive()) this.#into = this.#nextBuffer(receiver);
    }
  }
}

/** The number of the socket's open file; -1 when it has none. */
function descriptorOf(socket: (Socket & { _handle?: unknown }) | undefined): number {
  const handle: unknown = socket?._handle;
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return -1;
  return typeof handle.fd === 'number' ? handle.fd : -1;
}

/** Takes the system's handle out of a socket, which is of no use afterwards. */
function takeHandle(socket: Socket & { _handle?: unknown }): object | undefined {
  const handle: unknown = socket._handle;
  if (typeof handle !== 'object' || handle === null) return undefined;
  socket._handle = null;
  // Without its handle this only tells the server that one connection less is its own.
  socket.destroy();
  return handle;
}
