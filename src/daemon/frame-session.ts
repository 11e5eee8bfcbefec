import { assertDefined } from '../base/assert.ts';
import { isMemoryRefusal, isStoreError, messageOf, noMemory, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { SocketConnection, SocketReceiver } from '../platform/sockets.ts';
import { ByteReader } from '../protocol/byte-reader.ts';
import { encodeFrame } from '../protocol/frame.ts';
import type { FrameHeader } from '../protocol/frame.ts';
import { FrameReader, frameScratchBytes } from '../protocol/frame-reader.ts';
import type { FrameHandler } from '../protocol/frame-reader.ts';
import { GatheredFrames, payloadFrames } from '../protocol/gathered-frames.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import { decodePayloadNotice, readHead } from '../protocol/read-messages.ts';
import { decodeFilled } from '../protocol/write-messages.ts';
import { encodeFailure } from '../protocol/session-messages.ts';
import { ClientRing } from './client-ring.ts';
import type { DaemonService } from './daemon-service.ts';
import { needOfFrame } from './access.ts';
import type { Access, Grant } from './access.ts';
import { greet } from './greeting.ts';
import type { GreetedClient } from './greeting.ts';
import { serve } from './serve.ts';
import { ServedCall } from './served-call.ts';
import type { FrameSink, PayloadIntake } from './served-call.ts';

/** What a session needs of the door that it came through. */
export interface SessionDoor {
  readonly service: DaemonService;
  /** Who may do what. */
  readonly access: Access;
  /** The client is on this host. */
  readonly isLocal: boolean;
  readonly isDraining: () => boolean;
  /** The connection is over: told then, and again when its last call has ended. */
  readonly onEnd: (session: FrameSession) => void;
  /** No call of the session runs any more. */
  readonly onIdle: () => void;
}

/**
 * One connection of a client: its frames come in here, its calls run side by side, its answers go
 * out. When it ends its calls are cancelled, which releases what they hold.
 */
export class FrameSession implements SocketReceiver, FrameHandler, FrameSink {
  readonly #connection: SocketConnection;
  readonly #door: SessionDoor;
  readonly #reader: FrameReader;
  readonly #gathered: GatheredFrames;
  readonly #calls = new Map<number, ServedCall>();
  #client: GreetedClient | undefined;
  readonly #ring: ClientRing;
  /** Where a piece is being received, also when its call has ended meanwhile. */
  #receiving: PayloadIntake | undefined;
  /** Memory of the message that comes, if it is too long for the reader's own. */
  #long: Uint8Array | undefined;
  #isOver = false;
  #isPaused = false;
  /** When the last whole frame came, or the one under way began. */
  #aliveMs: number;
  #queuedBefore = 0;
  #sendingMs: number;

  /** @throws StoreError `BUSY` when the system has no memory for it. */
  constructor(connection: SocketConnection, door: SessionDoor) {
    this.#connection = connection;
    this.#door = door;
    this.#reader = new FrameReader(this, needMemory(door.service.memory, frameScratchBytes));
    this.#gathered = new GatheredFrames((parts) => connection.write(parts));
    this.#aliveMs = door.service.clock.nowMs();
    this.#sendingMs = this.#aliveMs;
    this.#ring = new ClientRing(door.service.store);
  }

  get isIdle(): boolean {
    return this.#calls.size === 0;
  }

  get queuedBytes(): number {
    return this.#connection.queuedBytes + this.#gathered.bytes;
  }

  nextBuffer(): Uint8Array {
    return this.#reader.nextBuffer();
  }

  received(count: number): void {
    if (this.#isOver) return;
    if (this.#reader.isIdle) this.#aliveMs = this.#door.service.clock.nowMs();
    try {
      this.#reader.received(count);
    } catch (error) {
      this.#refuse(error);
    }
  }

  closed(): void {
    this.#receiving?.lost();
    this.#receiving = undefined;
    this.#leave();
  }

  #leave(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const call of this.#calls.values()) call.cancel('the client has left');
    this.#endRing();
    if (this.#client !== undefined) {
      this.#door.service.accounts.leave(this.#client.id, this.#client.account);
    }
    this.#door.onEnd(this);
  }

  /** Ends the connection at once. */
  destroy(why: string): void {
    this.#connection.destroy(new StoreError('UNAVAILABLE', why));
  }

  /** Ends a connection that does not move on: a frame that never ends, answers that nobody reads. */
  endIfStalled(nowMs: number): void {
    const { queuedBytes } = this.#connection;
    if (queuedBytes === 0 || queuedBytes < this.#queuedBefore) this.#sendingMs = nowMs;
    this.#queuedBefore = queuedBytes;
    const isWaiting = this.#client === undefined;
    const isReceiving = isWaiting || (!this.#reader.isIdle && !this.#isPaused);
    const receiveMs = isWaiting ? limits.greetingMs : limits.stalledMs;
    const isStalled =
      (isReceiving && nowMs - this.#aliveMs > receiveMs) ||
      nowMs - this.#sendingMs > limits.stalledMs;
    if (!isStalled) return;
    this.#door.service.counters.connectionsBroken += 1;
    this.#door.service.logger.info('connection ended: it does not move on', {
      peer: this.#connection.peer,
    });
    this.destroy('the connection does not move on');
  }

  bodyBytesMax(): number {
    return this.#client === undefined ? limits.greetingBytesMax : limits.messageBytesMax;
  }

  /** Without memory a call is not begun, and says so; the connection goes on. */
  bodyMemory({ id, length }: FrameHeader): Uint8Array | undefined {
    const { service } = this.#door;
    try {
      this.#long = needMemory(service.memory, length);
      return this.#long;
    } catch (error) {
      if (this.#client === undefined || this.#calls.has(id)) throw error;
      service.counters.callsRefused += 1;
      this.#answerFailure(id, error);
      return undefined;
    }
  }

  onFrame(header: FrameHeader, body: Uint8Array): void {
    const isOwn = body === this.#long;
    this.#long = undefined;
    if (this.#isOver) return;
    this.#aliveMs = this.#door.service.clock.nowMs();
    if (this.#client === undefined) {
      this.#greet(header, body);
      return;
    }
    switch (header.type) {
      case 'payload':
        this.#calls.get(header.id)?.intake?.begin(decodePayloadNotice(body));
        return;
      case 'filled':
        this.#calls.get(header.id)?.intake?.fill(decodeFilled(body));
        return;
      case 'cancel':
        this.#calls.get(header.id)?.cancel('the client cancelled the call');
        this.#door.service.counters.callsCancelled += 1;
        return;
      case 'ring-news':
        this.#door.service.store.takeRings();
        return;
      case 'ping':
        this.send('pong', header.id);
        return;
      default:
        this.#begin(header, body, isOwn);
    }
  }

  dataTarget(id: number, length: number): Uint8Array | undefined {
    if (this.#client === undefined || length > limits.pieceBytesMax) {
      throw new StoreError('TOO_LARGE', `a piece of ${length} bytes is not accepted`);
    }
    // A call that has ended may have had pieces on their way.
    const intake = this.#calls.get(id)?.intake;
    const target = intake?.target(length);
    this.#receiving = intake;
    return target;
  }

  onData(_id: number, length: number, isKept: boolean): void {
    this.#aliveMs = this.#door.service.clock.nowMs();
    // Whoever ended the call meanwhile has left the memory of this piece alone.
    if (isKept) this.#receiving?.filled(length);
    this.#receiving = undefined;
  }

  send(type: FrameType, id: number, body?: Uint8Array): void {
    this.#gathered.add(encodeFrame(type, id, body));
    this.#gathered.writeOut();
  }

  sendPayload(id: number, notice: Uint8Array, payload: Uint8Array): void {
    this.#gathered.add(payloadFrames(id, notice, payload, limits.pieceBytesMax));
  }

  flushed(): Promise<void> {
    this.#gathered.writeOut();
    return this.#connection.flushed();
  }

  #greet(header: FrameHeader, body: Uint8Array): void {
    const { service, access, isLocal } = this.#door;
    this.#client = greet(header, body, { service, access, isLocal, sink: this });
  }

  /** Starts a call. Its failure is its answer; only what is no call ends the connection. */
  #begin({ type, id }: FrameHeader, body: Uint8Array, isOwn: boolean): void {
    const { service, access, isLocal, isDraining } = this.#door;
    const { account, credential, wire } = assertDefined(this.#client, 'a client');
    const { grant } = credential;
    if (id === 0 || this.#calls.has(id)) {
      throw new StoreError('INVALID', `call ${id} is not new`);
    }
    if (grant.name !== undefined && !this.#isPermitted(grant, { type, id }, body)) return;
    let own: Uint8Array;
    try {
      if (isDraining()) throw new StoreError('CLOSED', 'the daemon is stopping');
      // The next frame takes the reader's memory.
      own = isOwn ? body : Uint8Array.from(body);
      account.beginCall();
    } catch (error) {
      service.counters.callsRefused += 1;
      this.#answerFailure(id, error);
      return;
    }
    service.counters.calls += 1;
    const call = new ServedCall(id);
    this.#calls.set(id, call);
    const running = serve(type, own, {
      ...{ call, sink: this, service, account, wire },
      ring: isLocal && access.isOpen ? this.#ring : undefined,
    });
    void running
      .catch((error: unknown) => this.#answerFailure(id, error))
      .finally(() => {
        call.end();
        this.#calls.delete(id);
        account.endCall();
        if (!this.isIdle) return;
        if (this.#isOver) this.#door.onEnd(this);
        else this.#door.onIdle();
      });
    this.#holdBack();
  }

  /** What is in the ring was accepted: it is taken in behind the connection. */
  #endRing(): void {
    const { logger } = this.#door.service;
    this.#ring.close().catch((error: unknown) => {
      logger.error('a ring could not be ended', { message: messageOf(error) });
    });
  }

  /** Answers what the token does not permit. */
  #isPermitted(
    grant: Grant,
    { type, id }: Pick<FrameHeader, 'type' | 'id'>,
    body: Uint8Array,
  ): boolean {
    try {
      authorize(grant, type, body);
      return true;
    } catch (error) {
      this.#door.service.counters.callsDenied += 1;
      this.#answerFailure(id, error);
      return false;
    }
  }

  /** Reads no more while the client does not take its answers. */
  #holdBack(): void {
    if (this.#isPaused || this.queuedBytes <= limits.queuedBytesMax) return;
    this.#isPaused = true;
    this.#connection.setReading(false);
    const goOn = (): void => {
      this.#isPaused = false;
      this.#aliveMs = this.#door.service.clock.nowMs();
      this.#connection.setReading(true);
    };
    // When the connection ends there is nothing to read any more.
    this.flushed().then(goOn, () => undefined);
  }

  #answerFailure(id: number, error: unknown): void {
    if (this.#isOver) return;
    this.send('error', id, encodeFailure(asFailure(error, this.#door.service)));
  }

  /** What came is no frame or breaks a rule: says so and closes. */
  #refuse(error: unknown): void {
    const { counters, logger } = this.#door.service;
    counters.connectionsBroken += 1;
    const failure = asFailure(error, this.#door.service);
    logger.info('connection refused', { peer: this.#connection.peer, why: failure.message });
    this.#answerFailure(0, failure);
    this.#connection.end();
    this.#leave();
    // A peer that keeps its side open does not keep ours.
    const { clock } = this.#door.service;
    clock.schedule(limits.lingerMs, () => this.#connection.destroy());
  }
}

/** Every call begins with the namespace that it is for. */
function authorize(grant: Grant, type: FrameType, body: Uint8Array): void {
  const need = needOfFrame(type);
  if (need === undefined) return;
  const { namespace } = readHead(new ByteReader(body, 'of a call'));
  const refusal = grant.refusal(need, namespace);
  if (refusal !== undefined) throw new StoreError('INVALID', refusal);
}

/** Only our own errors are told to clients; anything else is a fault of ours, and logged. */
function asFailure(error: unknown, { logger, counters }: DaemonService): StoreError {
  if (isStoreError(error)) return error;
  if (isMemoryRefusal(error)) {
    counters.memoryRefused += 1;
    return noMemory(error);
  }
  if (error instanceof RangeError || error instanceof TypeError) {
    return new StoreError('INVALID', error.message, { cause: error });
  }
  const trace = error instanceof Error ? error.stack : undefined;
  logger.error('a call failed by a fault of the daemon', { message: messageOf(error), trace });
  return new StoreError('UNAVAILABLE', 'the daemon failed; its log says how', { cause: error });
}
