import { backoffMs } from '../base/backoff.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import type { Random } from '../platform/random.ts';
import type { SocketAddress, Sockets } from '../platform/sockets.ts';
import { features, protocolVersions } from '../protocol/session-messages.ts';
import type { Hello } from '../protocol/session-messages.ts';
import { ClientConnection, unreachable } from './client-connection.ts';

export interface PeerParts {
  readonly sockets: Sockets;
  readonly clock: Clock;
  readonly memory: PayloadMemory;
  readonly random: Random;
  readonly address: SocketAddress;
  /** Empty: none. */
  readonly token: string;
  readonly agent: string;
  /** Payloads may travel compressed where the daemon knows that too. */
  readonly isCompressing?: boolean | undefined;
}

/** What a call wants of a connection. */
export type Use = 'small' | 'bulk';

const backoff = { firstMs: limits.awayRetryFirstMs, mostMs: limits.awayRetryMostMs };

/**
 * The daemon, as one client reaches it: a connection for small calls and a few for payloads, opened
 * when they are needed and again when they are lost. While the daemon is away calls fail within
 * `awayWaitMs`, and each asks anew, so that the first one after it came back succeeds.
 */
export class RemotePeer {
  readonly #parts: PeerParts;
  readonly #hello: Hello;
  readonly #open: Record<Use, ClientConnection[]> = { small: [], bulk: [] };
  /** The attempt to connect that is under way, for each use; whoever needs it shares it. */
  readonly #opening: Record<Use, Promise<ClientConnection> | undefined> = {
    small: undefined,
    bulk: undefined,
  };
  /** Failed attempts in a row; 0: the daemon is there, as far as is known. */
  #failures = 0;
  #lastAttemptMs = -Infinity;
  /** Somebody listens at the address, by the attempt under way. */
  #isReached = false;
  #retry: ScheduledCall | undefined;
  #absences = 0;
  /** Of the connection for small calls that stands. */
  #isAccepting = false;
  #isClosed = false;

  constructor(parts: PeerParts) {
    this.#parts = parts;
    const compressing = parts.isCompressing === true ? features.compressing : 0;
    this.#hello = {
      versionOldest: protocolVersions.oldest,
      versionNewest: protocolVersions.newest,
      features: features.lending | features.accepting | features.ringing | compressing,
      clientId: parts.random.hex(16),
      token: parts.token,
      agent: parts.agent,
    };
  }

  /**
   * A connection that stands.
   *
   * @throws StoreError `UNAVAILABLE` when there is none; soon, when the daemon was away already.
   */
  async connection(use: Use, signal: AbortSignal): Promise<ClientConnection> {
    const idlest = this.#idlest(use);
    if (idlest !== undefined && (idlest.load === 0 || !this.#hasRoom(use))) return idlest;
    const isJoining = this.#opening[use] !== undefined;
    const opening = this.#openOrJoin(use);
    if (this.#failures === 0) return idlest ?? raceSignal(opening, signal);
    // An attempt that began before this call says nothing of the daemon as it is now.
    const fresh = isJoining ? opening.catch(() => this.#openOrJoin(use)) : opening;
    fresh.catch(() => undefined);
    const patience = this.#patience(fresh, signal);
    patience.catch(() => undefined);
    return Promise.race([fresh, patience]);
  }

  /** Rejects when the daemon has not been reached for some time; else gives the connection. */
  async #patience(
    opening: Promise<ClientConnection>,
    signal: AbortSignal,
  ): Promise<ClientConnection> {
    const { clock } = this.#parts;
    await clock.sleep(limits.awayWaitMs, signal);
    // What has happened on sockets meanwhile is told after timers.
    await clock.yield();
    if (!this.#isReached) throw new StoreError('UNAVAILABLE', 'the daemon is away');
    // It is back, and answers as soon as it can.
    return raceSignal(opening, signal);
  }

  /** True while a connection for small calls stands. */
  get isConnected(): boolean {
    // Those that have ended leave the list at once; nothing else is looked at, for calls may have nothing else to do.
    return this.#open.small.length > 0;
  }

  /** How often the last connection for small calls was lost: behind it another daemon may be there. */
  get absences(): number {
    return this.#absences;
  }

  /** True while it is known that saves are answered when they are accepted, unless they say otherwise. */
  get isAccepting(): boolean {
    return this.#isAccepting;
  }

  /** True while it is known that saves may be left in a ring. */
  get mayRing(): boolean {
    return this.#idlest('small')?.mayRing === true;
  }

  /** Tells the daemon of news in the ring. False when no connection stands. */
  tellRing(): boolean {
    const connection = this.#idlest('small');
    connection?.tellRing();
    return connection !== undefined;
  }

  /** Ends all connections; calls under way fail with `CLOSED`. */
  close(): void {
    this.#isClosed = true;
    this.#retry?.cancel();
    const closed = new StoreError('CLOSED', 'the store was closed');
    for (const connection of [...this.#open.small, ...this.#open.bulk]) connection.destroy(closed);
  }

  #hasRoom(use: Use): boolean {
    const most = use === 'small' ? 1 : limits.bulkConnectionsMax;
    return this.#open[use].length < most;
  }

  #idlest(use: Use): ClientConnection | undefined {
    let idlest: ClientConnection | undefined;
    for (const connection of this.#open[use]) {
      if (connection.isOpen && connection.load < (idlest?.load ?? Infinity)) idlest = connection;
    }
    return idlest;
  }

  #openOrJoin(use: Use): Promise<ClientConnection> {
    const opening = (this.#opening[use] ??= this.#connect(use).finally(() => {
      this.#opening[use] = undefined;
    }));
    // Each who waits hears of a failure; nobody may be waiting.
    opening.catch(() => undefined);
    return opening;
  }

  async #connect(use: Use): Promise<ClientConnection> {
    const { clock } = this.#parts;
    const gapMs = this.#lastAttemptMs + limits.awayGapMs - clock.nowMs();
    if (this.#failures > 0 && gapMs > 0) await clock.sleep(gapMs);
    this.#throwIfClosed();
    try {
      const connection = await this.#reach(use);
      if (this.#isClosed) connection.destroy(new StoreError('CLOSED', 'the store was closed'));
      this.#throwIfClosed();
      this.#failures = 0;
      this.#retry?.cancel();
      // One that is lost already is told by the call that uses it.
      if (connection.isOpen) this.#add(use, connection);
      return connection;
    } catch (error) {
      this.#throwIfClosed();
      this.#failures += 1;
      this.#retryLater();
      throw unreachable(error);
    }
  }

  #add(use: Use, connection: ClientConnection): void {
    this.#open[use].push(connection);
    if (use === 'small') this.#isAccepting = connection.isAccepting;
  }

  /** Connects; once more when a connection is lost before it stands, which says little of the daemon. */
  async #reach(use: Use): Promise<ClientConnection> {
    for (let attempts = 1; ; attempts += 1) {
      this.#lastAttemptMs = this.#parts.clock.nowMs();
      this.#isReached = false;
      try {
        return await ClientConnection.open({
          ...this.#parts,
          hello: this.#hello,
          onReached: () => {
            this.#isReached = true;
          },
          onClosed: (one) => this.#onClosed(use, one),
        });
      } catch (error) {
        const isLost = this.#isReached && isStoreError(error, 'UNAVAILABLE');
        if (!isLost || this.#isClosed || attempts >= limits.callAttemptsMax) throw error;
      }
    }
  }

  #onClosed(use: Use, connection: ClientConnection): void {
    this.#open[use] = this.#open[use].filter((one) => one !== connection);
    if (this.#open.small.length > 0) return;
    this.#absences += 1;
    this.#isAccepting = false;
    this.#retryLater();
  }

  /** Tries again when nobody asks, so that the next call need not wait for the connection. */
  #retryLater(): void {
    if (this.#isClosed) return;
    const { clock, random } = this.#parts;
    this.#retry?.cancel();
    const afterMs = backoffMs(this.#failures, random.fraction(), backoff);
    this.#retry = clock.schedule(afterMs, () => {
      if (this.#idlest('small') === undefined)
        void this.#openOrJoin('small').catch(() => undefined);
    });
  }

  #throwIfClosed(): void {
    if (this.#isClosed) throw new StoreError('CLOSED', 'the store was closed');
  }
}

function raceSignal<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
