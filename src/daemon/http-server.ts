import { messageOf, StoreError } from '../base/errors.ts';
import type { ServedStore } from '../blocks/served-store.ts';
import { directChecksums } from '../platform/checksums.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import type { Platform } from '../platform/platform.ts';
import type {
  SocketConnection,
  SocketListener,
  SocketReceiver,
  Sockets,
} from '../platform/sockets.ts';
import type { RequestHead } from '../protocol/http1-head.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import { DaemonCounters } from './daemon-counters.ts';
import { refusalAnswer } from './http-answer.ts';
import { answerBytes } from './http-answer-writer.ts';
import { HttpAdmission } from './http-admission.ts';
import { HttpClients } from './http-clients.ts';
import { HttpConnection } from './http-connection.ts';
import { httpScratchBytes } from './http-exchange.ts';
import type { AnsweredExchange, HttpConnectionHost, HttpJob, HttpPeer } from './http-exchange.ts';
import { httpLimits } from './http-limits.ts';
import type { HttpLimits } from './http-limits.ts';
import { HttpMetrics } from './http-metrics.ts';
import { HttpRoutes } from './http-routes.ts';
import type { HttpRoutesOptions } from './http-routes.ts';

export interface HttpServerOptions {
  readonly store: ServedStore;
  /** Where payloads that come are checked; on this thread when absent. */
  readonly checksums?: Checksums | undefined;
  /** Compression of payloads, and where what travelled so is counted; none when absent. It does not own it. */
  readonly wire?: WireDoor | undefined;
  readonly counters?: DaemonCounters | undefined;
  readonly platform: Pick<Platform, 'clock' | 'memory'> & { readonly sockets: Sockets };
  readonly limits?: Partial<HttpLimits> | undefined;
  /**
   * Asked before each request but those for ping, health and readiness; what is no denial allows it,
   * and may say whose it is, for limits. All are allowed when absent.
   */
  readonly authorize?: HttpRoutesOptions['authorize'] | undefined;
  /** More text for `/metrics`, in the format of Prometheus: what the daemon counts elsewhere. */
  readonly moreMetrics?: HttpRoutesOptions['moreMetrics'] | undefined;
}

/** Where a server listens. */
export interface HttpAddress {
  /** A name or an address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** How often connections are looked at for peers that are too slow. */
const sweepMs = 250;
/** Time for the last answers after a drain was cut short. */
const refuseConnectionsMax = 64;

/**
 * A store for everybody who speaks HTTP/1.1 (docs/HTTP.md). Several addresses may be listened on.
 * It does not own the store.
 *
 * @example
 * ```ts
 * const server = new HttpServer({ store, platform: { clock, memory, sockets: nodeSockets } });
 * const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
 * await server.drain(10_000);
 * ```
 */
export class HttpServer implements HttpConnectionHost {
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly #sockets: Sockets;
  readonly #memory: PayloadMemory;
  readonly #routes: HttpRoutes;
  readonly #metrics: HttpMetrics;
  readonly #admission: HttpAdmission;
  readonly #clients: HttpClients;
  readonly #listeners: (HttpAddress & { readonly listener: SocketListener })[] = [];
  readonly #connections = new Set<HttpConnection>();
  /** Connections over the limit, while they are told so. */
  readonly #refused = new Set<HttpConnection>();
  #sweep: ScheduledCall | undefined;
  #isDraining = false;
  /** Drains that wait for the last connection to go. */
  readonly #whenEmpty = new Set<() => void>();

  constructor(options: HttpServerOptions) {
    const { store, platform, authorize, moreMetrics, checksums, wire, counters } = options;
    this.clock = platform.clock;
    this.limits = { ...httpLimits, ...options.limits };
    this.#sockets = platform.sockets;
    this.#memory = platform.memory;
    const { bodiesBytesMax: bytesMax, admissionMs: waitMs } = this.limits;
    this.#admission = new HttpAdmission(this.clock, { bytesMax, waitMs });
    this.#clients = new HttpClients(this.clock, this.limits);
    this.#metrics = new HttpMetrics({
      connections: () => this.#connections.size,
      bodyBytes: () => this.#admission.bytes,
      bodiesWaiting: () => this.#admission.waiting,
    });
    this.#routes = new HttpRoutes({
      store,
      checksums: checksums ?? directChecksums,
      ...{ wire, counters: counters ?? new DaemonCounters() },
      clock: this.clock,
      memory: this.#memory,
      limits: this.limits,
      admission: this.#admission,
      clients: this.#clients,
      metrics: this.#metrics,
      authorize: authorize ?? (() => undefined),
      moreMetrics: moreMetrics ?? (() => ''),
      isReady: () => !this.#isDraining,
    });
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Where it listens. */
  get addresses(): readonly HttpAddress[] {
    return this.#listeners.map(({ host, port }) => ({ host, port }));
  }

  /** What it counted, in the format of Prometheus; also part of `/metrics`. */
  renderMetrics(): string {
    return this.#metrics.render();
  }

  /**
   * Listens on one more address; gives it with the port that it has. Rejects with the system's error,
   * `EADDRINUSE` when it is taken.
   */
  async listen({ host, port }: HttpAddress): Promise<HttpAddress> {
    if (this.#isDraining) throw new StoreError('CLOSED', 'the HTTP server was closed');
    const listener = await this.#sockets.listen({ kind: 'tcp', host, port }, (connection) =>
      this.#accept(connection),
    );
    const { address } = listener;
    const bound = { host, port: address.kind === 'tcp' ? address.port : port };
    this.#listeners.push({ ...bound, listener });
    this.#sweep ??= this.clock.schedule(sweepMs, this.#onSweep);
    return bound;
  }

  /**
   * Takes no more connections and no more requests, and resolves when those under way are answered,
   * or after `withinMs`, when the rest are cut off. Without `withinMs` only {@link close} cuts it short.
   */
  async drain(withinMs?: number): Promise<void> {
    this.#isDraining = true;
    await Promise.all(this.#listeners.splice(0).map(({ listener }) => listener.close()));
    for (const connection of this.#connections) if (connection.isIdle) connection.destroy();
    if (this.#connections.size > 0) await this.#empty(withinMs);
    this.#sweep?.cancel();
    for (const connection of [...this.#connections, ...this.#refused]) connection.destroy();
  }

  /** Cuts off everything at once. */
  close(): Promise<void> {
    return this.drain(0);
  }

  open(head: RequestHead, peer: HttpPeer): Promise<HttpJob> {
    return this.#routes.open(head, peer);
  }

  onAnswer(exchange: AnsweredExchange): void {
    this.#metrics.count(exchange);
  }

  onClose(connection: HttpPeer): void {
    if (connection instanceof HttpConnection) {
      this.#refused.delete(connection);
      if (this.#connections.delete(connection)) this.#clients.disconnect(connection.peer);
    }
    if (this.#connections.size === 0) for (const tell of this.#whenEmpty) tell();
  }

  #empty(withinMs: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const tell = (): void => {
        timer?.cancel();
        this.#whenEmpty.delete(tell);
        resolve();
      };
      const timer =
        withinMs === undefined ? undefined : this.clock.schedule(withinMs, tell, 'awaited');
      this.#whenEmpty.add(tell);
    });
  }

  #accept(socket: SocketConnection): SocketReceiver {
    let connection: HttpConnection;
    try {
      connection = new HttpConnection(this, socket, needMemory(this.#memory, httpScratchBytes));
    } catch (error) {
      this.#metrics.countRefusedConnection();
      return refusing(socket, messageOf(error), this.clock.wallMs());
    }
    const hasRoom = this.#connections.size < this.limits.connectionsMax && !this.#isDraining;
    if (hasRoom && this.#clients.connect(socket.peer)) {
      this.#connections.add(connection);
      return connection;
    }
    this.#metrics.countRefusedConnection();
    this.#refused.add(connection);
    connection.hold();
    const reason = hasRoom
      ? `${this.limits.connectionsPerAddressMax} connections of this address are open, which is the most`
      : `${this.#connections.size} connections are open, which is the most`;
    this.clock.schedule(0, () => {
      if (this.#refused.size > refuseConnectionsMax) connection.destroy();
      else connection.refuse(503, reason);
    });
    return connection;
  }

  readonly #onSweep = (): void => {
    const nowMs = this.clock.nowMs();
    for (const connection of [...this.#connections, ...this.#refused]) connection.checkTime(nowMs);
    this.#sweep = this.clock.schedule(sweepMs, this.#onSweep);
  };
}

/** What nobody reads. */
const nowhere = new Uint8Array(1024);

/** Answers whatever is asked with 503 and the reason, and closes: there is no memory for a connection. */
function refusing(socket: SocketConnection, reason: string, wallMs: number): SocketReceiver {
  const answer = answerBytes(refusalAnswer(503, reason), {
    method: undefined,
    isLast: true,
    wallMs,
  });
  let isAnswered = false;
  return {
    nextBuffer: () => nowhere,
    received: () => {
      if (isAnswered) {
        socket.destroy();
        return;
      }
      isAnswered = true;
      socket.write([answer]);
      socket.end();
    },
    closed: () => undefined,
  };
}
