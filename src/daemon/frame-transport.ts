import { deferred } from '../base/deferred.ts';
import { messageOf, StoreError, systemErrorCode } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { ScheduledCall } from '../platform/clock.ts';
import type { SocketConnection, SocketListener, SocketReceiver } from '../platform/sockets.ts';
import { Access } from './access.ts';
import type { DaemonService } from './daemon-service.ts';
import { FrameSession } from './frame-session.ts';
import type { BoundAddress, OpenTransport, Transport } from './transport.ts';

/** Binds a socket for one transport. */
export type SocketBinder = (
  service: DaemonService,
  receiverOf: (connection: SocketConnection) => SocketReceiver,
) => Promise<{ readonly listener: SocketListener; readonly address: BoundAddress }>;

/** The frames of docs/PROTOCOL.md on any kind of socket. */
export class FrameTransport implements Transport {
  readonly #bind: SocketBinder;
  readonly #access: Access;
  readonly #isLocal: boolean;

  /**
   * `access` says who may do what; everybody everything when it is absent. Whoever comes by a local door is on this
   * host.
   */
  constructor(bind: SocketBinder, access: Access = new Access(), isLocal = false) {
    this.#bind = bind;
    this.#access = access;
    this.#isLocal = isLocal;
  }

  async open(service: DaemonService): Promise<OpenTransport> {
    const sessions = new Sessions(service, this.#access, this.#isLocal);
    const { listener, address } = await this.#bind(service, (one) => sessions.add(one));
    return {
      addresses: [address],
      async drain() {
        const drained = sessions.drain();
        await listener.close();
        await drained;
      },
      async close() {
        await listener.close();
        await sessions.close();
      },
    };
  }
}

/** What a socket that cannot be bound is called. */
export function bindingFailure(address: string, error: unknown): StoreError {
  const code = systemErrorCode(error);
  if (code === 'EADDRINUSE') {
    return new StoreError('BUSY', `${address} is taken by another process`, { cause: error });
  }
  const message = `cannot listen at ${address}: ${messageOf(error)}`;
  return new StoreError('INVALID', message, { cause: error });
}

/** The connections of one door. */
class Sessions {
  readonly #service: DaemonService;
  readonly #access: Access;
  readonly #isLocal: boolean;
  readonly #open = new Set<FrameSession>();
  #isDraining = false;
  #onEmpty: (() => void) | undefined;
  #look: ScheduledCall | undefined;

  constructor(service: DaemonService, access: Access, isLocal: boolean) {
    this.#service = service;
    this.#access = access;
    this.#isLocal = isLocal;
  }

  add(connection: SocketConnection): SocketReceiver {
    const { accounts, counters } = this.#service;
    if (!accounts.admit()) return this.#refuse(connection, 'too many connections');
    try {
      const session = this.#sessionOf(connection);
      counters.connections += 1;
      counters.connectionsTaken += 1;
      this.#open.add(session);
      this.#look ??= this.#lookLater();
      return session;
    } catch (error) {
      accounts.dismiss();
      return this.#refuse(connection, messageOf(error));
    }
  }

  #refuse(connection: SocketConnection, why: string): SocketReceiver {
    const { counters, logger } = this.#service;
    counters.connectionsRefused += 1;
    logger.info('connection refused', { peer: connection.peer, why });
    return refusing(connection);
  }

  #sessionOf(connection: SocketConnection): FrameSession {
    const { accounts, counters } = this.#service;
    let isCounted = true;
    return new FrameSession(connection, {
      service: this.#service,
      access: this.#access,
      isLocal: this.#isLocal,
      isDraining: () => this.#isDraining,
      onEnd: (one) => {
        if (isCounted) {
          isCounted = false;
          accounts.dismiss();
          counters.connections -= 1;
        }
        if (one.isIdle) this.#open.delete(one);
        this.#tellIfIdle();
      },
      onIdle: () => this.#tellIfIdle(),
    });
  }

  /** Refuses new calls; resolves when none runs. */
  drain(): Promise<void> {
    this.#isDraining = true;
    const empty = deferred<void>();
    this.#onEmpty = () => empty.resolve();
    this.#tellIfIdle();
    return empty.promise;
  }

  /** Ends all connections; resolves when their calls have let go of everything. */
  async close(): Promise<void> {
    this.#isDraining = true;
    this.#look?.cancel();
    for (const session of this.#open) session.destroy('the daemon is stopping');
    await this.drain();
  }

  #tellIfIdle(): void {
    for (const session of this.#open) if (!session.isIdle) return;
    this.#onEmpty?.();
  }

  #lookLater(): ScheduledCall {
    const { clock } = this.#service;
    return clock.schedule(limits.stalledLookMs, () => {
      this.#look = undefined;
      const nowMs = clock.nowMs();
      for (const session of this.#open) session.endIfStalled(nowMs);
      if (this.#open.size > 0) this.#look = this.#lookLater();
    });
  }
}

/** What nobody reads. */
const nowhere = new Uint8Array(1024);

/** Takes nothing from a connection and ends it. */
function refusing(connection: SocketConnection): SocketReceiver {
  return {
    nextBuffer: () => nowhere,
    received: () => connection.destroy(),
    closed: () => undefined,
  };
}
