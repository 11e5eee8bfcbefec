import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { resetSocket } from '../../src/platform/reset-socket.ts';

/** Bytes on their way in one direction of a connection: 15 ms of a gigabyte a second. */
const bytesUnderWayMax = 16 * 1024 * 1024;
const bytesOfSlowLink = 1024 * 1024;
/** Connections at once; others are refused. */
const connectionsMax = 256;

export interface DelayRelayOptions {
  /** Port of this machine that is reached through the relay. */
  readonly targetPort: number;
  /** What each direction takes longer: half of what a round trip does. */
  readonly delayMs: number;
  /** 0 or absent: any that is free. */
  readonly port?: number;
  /** What each direction of each connection carries in a second; as much as it can when absent. */
  readonly bytesPerSecond?: number;
}

/**
 * A server that seems further away: what arrives is handed on, in both directions, when its delay
 * has passed. Bandwidth is as it was, unless it is bounded. A peer that does not read is felt by the other, because no
 * more than a bound is on its way. Connecting costs no round trip: the kernel answers for the relay.
 */
export class DelayRelay {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  static async start(options: DelayRelayOptions): Promise<DelayRelay> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.maxConnections = connectionsMax;
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    return new DelayRelay(server, options);
  }

  private constructor(server: Server, { targetPort, ...link }: DelayRelayOptions) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (near) => {
      const far = connect({
        ...{ port: targetPort, host: '127.0.0.1' },
        ...{ allowHalfOpen: true, noDelay: true },
      });
      this.#own(near, far);
      this.#own(far, near);
      new DelayedPipe(near, far, link).start();
      new DelayedPipe(far, near, link).start();
    });
  }

  /** `http://127.0.0.1:port` */
  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Breaks all connections; nobody answers at the port any more. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) resetSocket(socket);
    await closed;
  }

  /** What breaks on one side breaks on the other; an end is handed on like bytes. */
  #own(socket: Socket, other: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => resetSocket(other));
    socket.on('close', () => this.#sockets.delete(socket));
  }
}

/** One direction of a connection. */
class DelayedPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #delayMs: number;
  readonly #bytesPerSecond: number;
  /** A link that is slow holds little: who sends into it feels it soon. */
  readonly #bytesMax: number;
  /** When the link has carried what came before. */
  #freeMs = 0;
  /** In order of arrival; the end of the stream is a chunk of undefined. */
  readonly #underWay: { readonly bytes: Uint8Array | undefined; readonly dueMs: number }[] = [];
  #bytesUnderWay = 0;
  /** A timer is set, or the receiver has not taken what it was given. */
  #isWaiting = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    from: Socket,
    to: Socket,
    { delayMs, bytesPerSecond = Infinity }: Omit<DelayRelayOptions, 'targetPort' | 'port'>,
  ) {
    this.#from = from;
    this.#to = to;
    this.#delayMs = delayMs;
    this.#bytesPerSecond = bytesPerSecond;
    this.#bytesMax = bytesPerSecond === Infinity ? bytesUnderWayMax : bytesOfSlowLink;
  }

  start(): void {
    this.#from.on('data', (bytes: Buffer) => this.#add(bytes));
    this.#from.on('end', () => this.#add(undefined));
    // What is under way then is lost.
    this.#to.on('close', () => clearTimeout(this.#timer));
    this.#to.on('drain', () => {
      this.#isWaiting = false;
      this.#handOn();
    });
  }

  #add(bytes: Uint8Array | undefined): void {
    const carriesMs = (1000 * (bytes?.length ?? 0)) / this.#bytesPerSecond;
    this.#freeMs = Math.max(this.#freeMs, performance.now()) + carriesMs;
    this.#underWay.push({ bytes, dueMs: this.#freeMs + this.#delayMs });
    this.#bytesUnderWay += bytes?.length ?? 0;
    if (this.#bytesUnderWay > this.#bytesMax) this.#from.pause();
    if (!this.#isWaiting) this.#handOn();
  }

  /** Hands on what is due, as far as the receiver takes it, and comes back for the rest. */
  #handOn(): void {
    while (!this.#to.destroyed) {
      const next = this.#underWay[0];
      if (next === undefined) return;
      const restMs = next.dueMs - performance.now();
      if (restMs > 0) {
        this.#isWaiting = true;
        this.#timer = setTimeout(() => {
          this.#isWaiting = false;
          this.#handOn();
        }, restMs);
        return;
      }
      this.#underWay.shift();
      if (next.bytes === undefined) {
        this.#to.end();
        return;
      }
      this.#bytesUnderWay -= next.bytes.length;
      if (this.#from.isPaused() && this.#bytesUnderWay <= this.#bytesMax / 2) this.#from.resume();
      if (!this.#to.write(next.bytes)) {
        this.#isWaiting = true;
        return;
      }
    }
  }
}
