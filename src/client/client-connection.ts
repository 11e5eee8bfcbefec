import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import type {
  SocketAddress,
  SocketConnection,
  SocketReceiver,
  Sockets,
} from '../platform/sockets.ts';
import { encodeFrame } from '../protocol/frame.ts';
import type { FrameHeader } from '../protocol/frame.ts';
import { FrameReader } from '../protocol/frame-reader.ts';
import type { FrameHandler } from '../protocol/frame-reader.ts';
import { GatheredFrames, payloadFrames } from '../protocol/gathered-frames.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import { encodePayloadNotice } from '../protocol/read-messages.ts';
import {
  decodeFailure,
  decodeWelcome,
  encodeHello,
  features,
} from '../protocol/session-messages.ts';
import type { Hello, Welcome } from '../protocol/session-messages.ts';
import { encodeFilled } from '../protocol/write-messages.ts';
import type { EncodedForWire } from '../wire/wire-tasks.ts';

/** What a call does with what comes for it. What a handler throws ends the connection. */
export interface CallHandler {
  /** A frame that does not end the call. */
  onFrame(type: FrameType, body: Uint8Array): void;
  /** The frame that ends it, `error` excepted. */
  onAnswer(type: FrameType, body: Uint8Array): void;
  /** Memory for the next piece of a payload. */
  dataTarget(length: number): Uint8Array;
  onData(length: number): void;
  /** The call has failed. With `isLost` nobody knows how far it came: it may be made again. */
  onFailure(error: StoreError, isLost: boolean): void;
}

export interface ConnectionParts {
  readonly sockets: Sockets;
  readonly clock: Clock;
  /** Where memory for long messages is taken. */
  readonly memory: PayloadMemory;
  readonly address: SocketAddress;
  readonly hello: Hello;
  /** Told when somebody listens at the address, perhaps twice; whether he is a daemon is not known yet. */
  readonly onReached: () => void;
  /** Told when the connection, which stood, is over. */
  readonly onClosed: (connection: ClientConnection, cause: StoreError) => void;
}

/** The frames that end a call. */
const closing: ReadonlySet<FrameType> = new Set([
  'looked-up',
  'present',
  'loaded',
  'saved',
  'resend',
  'prefetched',
  'ring',
  'flushed',
  'deleted',
  'statistics',
]);

/** One connection to a daemon, over which calls run side by side. */
export class ClientConnection implements SocketReceiver, FrameHandler {
  readonly #parts: ConnectionParts;
  readonly #reader = new FrameReader(this);
  readonly #gathered = new GatheredFrames((parts) => this.#socket?.write(parts));
  readonly #calls = new Map<number, CallHandler>();
  /** Calls that nobody waits for any more, until their last frame has come. */
  readonly #abandoned = new Set<number>();
  readonly #greeting = deferred<Welcome>();
  #socket: SocketConnection | undefined;
  #welcome: Welcome | undefined;
  #nextId = 1;
  #receiving: CallHandler | undefined;
  #isClosed = false;
  #failure: StoreError | undefined;

  private constructor(parts: ConnectionParts) {
    this.#parts = parts;
    // Whoever opens the connection may have failed before it waits for this.
    this.#greeting.promise.catch(() => undefined);
  }

  /**
   * Connects and is let in.
   *
   * @throws StoreError `UNAVAILABLE` when the daemon is not reached, else what it answers.
   */
  static async open(parts: ConnectionParts): Promise<ClientConnection> {
    const connection = new ClientConnection(parts);
    const { address, clock, hello, sockets } = parts;
    const timer = clock.schedule(
      limits.connectMs,
      () => connection.destroy(new StoreError('UNAVAILABLE', 'the daemon does not answer hello')),
      'awaited',
    );
    try {
      connection.#socket = await sockets.connect(
        address,
        { timeoutMs: limits.connectMs, onReached: parts.onReached },
        () => connection,
      );
      parts.onReached();
      connection.#send('hello', 0, encodeHello(hello));
      connection.#welcome = await connection.#greeting.promise;
      connection.#socket.setAwaited(false);
      return connection;
    } catch (error) {
      connection.destroy(unreachable(error));
      throw connection.#failure ?? unreachable(error);
    } finally {
      timer.cancel();
    }
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** Calls under way. */
  get load(): number {
    return this.#calls.size;
  }

  /** True when the daemon lends memory to clients that fill it themselves, where it has such memory. */
  get mayFill(): boolean {
    return ((this.#welcome?.features ?? 0) & features.lending) !== 0;
  }

  /** True when payloads may travel compressed. */
  get mayCompress(): boolean {
    return ((this.#welcome?.features ?? 0) & features.compressing) !== 0;
  }

  /** True when the daemon answers saves when they are accepted, unless they say otherwise. */
  get isAccepting(): boolean {
    return ((this.#welcome?.features ?? 0) & features.accepting) !== 0;
  }

  /** True when saves may be left in a ring. */
  get mayRing(): boolean {
    return ((this.#welcome?.features ?? 0) & features.ringing) !== 0;
  }

  get eagerBytesMax(): number {
    return Math.min(this.#welcome?.eagerBytesMax ?? 0, limits.eagerBytesMax);
  }

  get queuedBytes(): number {
    return (this.#socket?.queuedBytes ?? 0) + this.#gathered.bytes;
  }

  /** Makes a call; gives its id. */
  begin(type: FrameType, body: Uint8Array, handler: CallHandler): number {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#calls.set(id, handler);
    if (this.#calls.size === 1) this.#socket?.setAwaited(true);
    if (this.#nextId > 0xffffffff) this.destroy(new StoreError('UNAVAILABLE', 'ids are used up'));
    else this.#send(type, id, body);
    return id;
  }

  /** Nobody waits for the call any more; nothing of its handler is called from now on. */
  cancel(id: number): void {
    if (!this.#calls.has(id)) return;
    this.#abandoned.add(id);
    this.#send('cancel', id);
    this.#forget(id);
  }

  /**
   * Sends a payload of a save, together with what follows, at {@link flushed} at the latest. Its
   * memory is read until the call has ended.
   */
  sendPayload(id: number, index: number, payload: Uint8Array, encoded?: EncodedForWire): void {
    const crc = encoded?.crc ?? crc32c(payload);
    const facts = { index, length: payload.length, crc, tokens: 0, hasDecodedTokens: false };
    const { compressed } = encoded ?? {};
    const form = compressed === undefined ? {} : { compressed: compressed.form };
    const notice = encodePayloadNotice({ ...facts, tier: 'memory', ...form });
    const most = this.#welcome?.dataBytesMax ?? limits.pieceBytesMax;
    this.#gathered.add(payloadFrames(id, notice, compressed?.stored ?? payload, most));
  }

  /** Says what was put into memory that the daemon lent first for that save. */
  sendFilled(id: number, crcs: readonly number[]): void {
    this.#send('filled', id, encodeFilled(crcs));
  }

  /** Says that something was left in the ring, or that memory is wanted there. */
  tellRing(): void {
    this.#send('ring-news', 0);
  }

  /** Resolves when the system has what was sent; rejects when the connection ends. */
  async flushed(): Promise<void> {
    this.writeOut();
    await this.#socket?.flushed();
  }

  /** Writes what was gathered. */
  writeOut(): void {
    this.#gathered.writeOut();
  }

  destroy(cause: StoreError): void {
    this.#failure ??= cause;
    if (this.#socket === undefined) this.#greeting.reject(cause);
    this.#socket?.destroy(cause);
  }

  nextBuffer(): Uint8Array {
    return this.#reader.nextBuffer();
  }

  received(count: number): void {
    this.#reader.received(count);
  }

  closed(cause: Error | undefined): void {
    this.#isClosed = true;
    const failure = this.#failure ?? unreachable(cause);
    this.#greeting.reject(failure);
    const lost = [...this.#calls.values()];
    this.#calls.clear();
    for (const handler of lost) handler.onFailure(failure, true);
    if (this.#welcome !== undefined) this.#parts.onClosed(this, failure);
  }

  bodyBytesMax(): number {
    return limits.messageBytesMax;
  }

  /** Without memory for what comes for a call that fails; the connection, and the other calls, go on. */
  bodyMemory({ type, id, length }: FrameHeader): Uint8Array | undefined {
    const bytes = this.#parts.memory.take(length);
    if (bytes !== undefined) return bytes;
    const handler = this.#calls.get(id);
    if (handler === undefined) {
      this.#expectAbandoned(type, id, isLast(type));
      return undefined;
    }
    if (isLast(type)) this.#forget(id);
    else this.cancel(id);
    const message = `the system has no memory for a message of ${length} bytes`;
    handler.onFailure(new StoreError('BUSY', message), false);
    return undefined;
  }

  onFrame({ type, id }: FrameHeader, body: Uint8Array): void {
    if (type === 'welcome' && this.#welcome === undefined) {
      this.#greeting.resolve(decodeWelcome(body));
      return;
    }
    if (type === 'error' && id === 0) {
      throw (this.#failure ??= decodeFailure(body));
    }
    const handler = this.#calls.get(id);
    if (handler === undefined) {
      this.#expectAbandoned(type, id, isLast(type));
      return;
    }
    if (!isLast(type)) {
      handler.onFrame(type, body);
      return;
    }
    this.#forget(id);
    if (type === 'error') handler.onFailure(decodeFailure(body), false);
    else handler.onAnswer(type, body);
  }

  dataTarget(id: number, length: number): Uint8Array | undefined {
    this.#receiving = this.#calls.get(id);
    if (this.#receiving === undefined) this.#expectAbandoned('data', id, false);
    return this.#receiving?.dataTarget(length);
  }

  onData(id: number, length: number, isKept: boolean): void {
    const handler = this.#receiving;
    this.#receiving = undefined;
    if (isKept && this.#calls.get(id) === handler) handler?.onData(length);
  }

  #send(type: FrameType, id: number, body?: Uint8Array): void {
    this.#gathered.add(encodeFrame(type, id, body));
    this.#gathered.writeOut();
  }

  #forget(id: number): void {
    this.#calls.delete(id);
    if (this.#calls.size === 0) this.#socket?.setAwaited(false);
  }

  #expectAbandoned(type: FrameType, id: number, isOver: boolean): void {
    if (!this.#abandoned.has(id)) {
      throw new StoreError('INVALID', `the daemon sent ${type} for call ${id}, which there is not`);
    }
    if (isOver) this.#abandoned.delete(id);
  }
}

/** The frame ends its call. */
function isLast(type: FrameType): boolean {
  return type === 'error' || closing.has(type);
}

/** The error for a daemon that cannot be reached, or has gone. */
export function unreachable(cause: unknown): StoreError {
  if (isStoreError(cause) && cause.code !== 'ABORTED') return cause;
  const why = cause === undefined ? 'it closed the connection' : messageOf(cause);
  return new StoreError('UNAVAILABLE', `the daemon cannot be reached: ${why}`, { cause });
}
