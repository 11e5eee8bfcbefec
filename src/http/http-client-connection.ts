import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { isMemoryRefusal, isStoreError, messageOf, noMemory, StoreError } from '../base/errors.ts';
import type {
  ConnectOptions,
  SocketConnection,
  SocketReceiver,
  Sockets,
} from '../platform/sockets.ts';
import { BodyDecoder } from '../protocol/http1-body.ts';
import { isRefusal, parseResponseHead } from '../protocol/http1-head.ts';
import type { ResponseHead } from '../protocol/http1-head.ts';
import { HeadScanner, latin1Text } from '../protocol/http1-scan.ts';
import type { BodySink } from '../protocol/http1-sink.ts';
import { requestGroups } from './request-groups.ts';
import type { OutgoingRequest } from './request-groups.ts';

/** One request, and what takes its answer. */
export interface HttpExchange extends OutgoingRequest {
  /** Where the body of the answer goes. Throws what the exchange rejects with. */
  readonly receive: (head: ResponseHead) => BodySink;
  /** Told whenever the other side took or sent something. */
  readonly onProgress?: (() => void) | undefined;
}

export interface HttpConnectOptions extends ConnectOptions {
  readonly host: string;
  readonly port: number;
}

const scratchBytes = 64 * 1024;
/** Shorter pieces come several at a time through the scratch buffer, which costs less. */
const directBytesMin = 16 * 1024;

/** The client's end of one connection: one exchange at a time. */
export class HttpClientConnection implements SocketReceiver {
  /** When it was last given back to those who are not in use. */
  idleSinceMs = 0;
  readonly #host: string;
  #socket: SocketConnection | undefined;
  readonly #scratch = new Uint8Array(scratchBytes);
  readonly #scanner = new HeadScanner();
  #start = 0;
  #end = 0;
  #isDirect = false;
  #isLost = false;
  #isSent = false;
  #exchange: HttpExchange | undefined;
  #result: Deferred<ResponseHead> | undefined;
  #head: ResponseHead | undefined;
  #decoder: BodyDecoder | undefined;
  #sink: BodySink | undefined;
  /** The sink of an answer that has come whole. */
  #received: BodySink | undefined;

  private constructor(host: string) {
    this.#host = host;
  }

  /** Rejects with `UNAVAILABLE`, or with the signal's reason when it fires. */
  static async open(
    sockets: Sockets,
    { host, port, ...options }: HttpConnectOptions,
  ): Promise<HttpClientConnection> {
    const connection = new HttpClientConnection(`${host}:${port}`);
    try {
      const address = { kind: 'tcp', host, port } as const;
      connection.#socket = await sockets.connect(address, options, () => connection);
      return connection;
    } catch (cause) {
      options.signal?.throwIfAborted();
      throw new StoreError('UNAVAILABLE', messageOf(cause), { cause });
    }
  }

  /** True when another exchange can be tried on it. */
  get isUsable(): boolean {
    return !this.#isLost && this.#exchange === undefined;
  }

  /**
   * Sends the request and receives the answer. Rejects with the signal's reason when it fires, with
   * `UNAVAILABLE` when the connection is lost, or with what `receive` or its sink threw; the
   * connection is of no more use then, and no memory is touched any more.
   */
  async run(exchange: HttpExchange, signal: AbortSignal): Promise<ResponseHead> {
    assert(this.isUsable, 'a connection has one exchange at a time');
    signal.throwIfAborted();
    const result = deferred<ResponseHead>();
    this.#exchange = exchange;
    this.#result = result;
    this.#scanner.reset();
    const onAbort = (): void => {
      // The server is to stop at once what nobody waits for.
      this.#socket?.reset();
      this.#fail(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    void this.#send(exchange);
    try {
      const head = await result.promise;
      await this.#received?.verified?.();
      // An answer that did not wait for the whole request leaves a connection of no more use.
      if (!this.#isSent || !head.isKeptAlive) this.destroy();
      return head;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#exchange = undefined;
      this.#result = undefined;
      this.#sink = undefined;
      this.#received = undefined;
    }
  }

  destroy(): void {
    this.#isLost = true;
    this.#socket?.destroy();
  }

  /** Whether the connection keeps the process alive. */
  setAwaited(isAwaited: boolean): void {
    this.#socket?.setAwaited(isAwaited);
  }

  nextBuffer(): Uint8Array {
    const ahead = this.#decoder?.dataAhead ?? 0;
    if (this.#start === this.#end && ahead > 0 && this.#sink !== undefined) {
      const memory = this.#sink.space();
      const length = Math.min(memory.length, ahead);
      if (length >= directBytesMin) {
        this.#isDirect = true;
        return memory.subarray(0, length);
      }
    }
    this.#isDirect = false;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === scratchBytes) this.#compact();
    return this.#scratch.subarray(this.#end);
  }

  received(count: number): void {
    if (this.#isLost) return;
    if (this.#exchange === undefined) {
      // Nobody asked for anything.
      this.destroy();
      return;
    }
    try {
      this.#exchange.onProgress?.();
      if (this.#isDirect) this.#took(count);
      else {
        const hadHead = this.#decoder !== undefined;
        this.#end += count;
        this.#consume();
        // A server that writes its head by itself may wait for this with the body (Nagle).
        if (!hadHead && this.#decoder !== undefined) this.#socket?.acknowledge();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  ended(): void {
    this.#fail(this.#lost('the server closed it'));
  }

  closed(error: Error | undefined): void {
    this.#fail(this.#lost(error === undefined ? 'it was closed' : error.message, error));
  }

  async #send(exchange: HttpExchange): Promise<void> {
    this.#isSent = false;
    try {
      let before: Promise<boolean> = Promise.resolve(true);
      for await (const group of requestGroups(exchange, this.#host)) {
        if (this.#exchange !== exchange || this.#isLost) return;
        const writing = this.#write(group);
        const isTaken = await before;
        exchange.onProgress?.();
        if (!isTaken || this.#exchange !== exchange || this.#isLost) return;
        before = writing;
      }
      this.#isSent = await before;
    } catch (error) {
      this.#fail(error);
    }
  }

  /**
   * True when the system has the bytes; false when the connection ends first. An answer may be on its
   * way then that says why nothing more is taken; closed() follows if not.
   */
  #write(group: readonly Uint8Array[]): Promise<boolean> {
    assert(this.#socket !== undefined, 'the connection stands');
    this.#socket.write(group);
    return this.#socket.flushed().then(
      () => true,
      () => false,
    );
  }

  #consume(): void {
    while (this.#start < this.#end && this.#exchange !== undefined) {
      if (this.#decoder === undefined) {
        if (!this.#readHead(this.#exchange)) return;
      } else if (this.#decoder.isDone) {
        throw this.#lost('there are bytes behind the answer');
      } else this.#readBody(this.#decoder);
    }
  }

  #readHead(exchange: HttpExchange): boolean {
    this.#compact();
    const size = this.#scanner.scan(this.#scratch, this.#end);
    if (typeof size !== 'number') throw this.#lost(size.reason);
    if (size === 0) return false;
    const head = parseResponseHead(latin1Text(this.#scratch, size), exchange.method);
    if (isRefusal(head)) throw this.#lost(head.reason);
    this.#start = size;
    this.#scanner.reset();
    // Informational heads come before the one that counts.
    if (head.status < 200) return true;
    this.#head = head;
    this.#sink = exchange.receive(head);
    this.#decoder = new BodyDecoder(head.body);
    this.#endIfDone();
    return true;
  }

  #readBody(decoder: BodyDecoder): void {
    if (decoder.dataAhead === 0) {
      const next = decoder.takeFraming(this.#scratch, this.#start, this.#end);
      if (typeof next !== 'number') throw this.#lost(next.reason);
      this.#start = next;
      this.#endIfDone();
      return;
    }
    assert(this.#sink !== undefined, 'an answer has a sink');
    const memory = this.#sink.space();
    const held = Math.min(decoder.dataAhead, this.#end - this.#start, memory.length);
    memory.set(this.#scratch.subarray(this.#start, this.#start + held));
    this.#start += held;
    this.#took(held);
  }

  #took(count: number): void {
    this.#decoder?.tookData(count);
    this.#sink?.took(count);
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#decoder?.isDone !== true) return;
    this.#sink?.finish();
    const head = this.#head;
    assert(head !== undefined, 'a body follows a head');
    this.#received = this.#sink;
    this.#decoder = undefined;
    this.#sink = undefined;
    this.#result?.resolve(head);
    // Until the caller goes on, more bytes are nobody's: those that came along, and those that follow.
    this.#exchange = undefined;
    if (this.#start < this.#end) this.destroy();
  }

  #fail(error: unknown): void {
    this.#isLost = true;
    this.#decoder = undefined;
    this.#sink = undefined;
    this.#result?.reject(this.#known(error));
    this.#result = undefined;
    this.#socket?.destroy();
  }

  #known(error: unknown): StoreError {
    if (isStoreError(error)) return error;
    // The next one may not have it either: the exchange is not made again for that.
    return isMemoryRefusal(error) ? noMemory(error) : this.#lost(messageOf(error), error);
  }

  #lost(why: string, cause?: unknown): StoreError {
    const message = `connection to ${this.#host} is lost: ${why}`;
    return new StoreError('UNAVAILABLE', message, cause === undefined ? undefined : { cause });
  }

  #compact(): void {
    if (this.#start === 0) return;
    this.#scratch.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }
}
