import { backoffMs } from '../base/backoff.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';
import type { Sockets } from '../platform/sockets.ts';
import type { ResponseHead } from '../protocol/http1-head.ts';
import { CollectSink } from '../protocol/http1-sink.ts';
import { paths } from '../protocol/http1-paths.ts';
import { HttpClientConnection } from '../http/http-client-connection.ts';
import type { HttpExchange } from '../http/http-client-connection.ts';
import type { HttpClientLimits } from './http-limits.ts';

export interface HttpPoolOptions {
  readonly platform: {
    readonly clock: Clock;
    readonly random: Random;
    readonly sockets: Sockets;
  };
  readonly host: string;
  readonly port: number;
  readonly limits: HttpClientLimits;
}

interface Waiter {
  readonly isBulk: boolean;
  readonly wake: () => void;
}

/**
 * Connections to one server: kept, shared, bounded. While the server is gone a call learns that
 * within `recoverMs`; attempts to reach it are made one at a time, with pauses, and by whoever asks.
 */
export class HttpPool {
  readonly #options: HttpPoolOptions;
  readonly #idle: HttpClientConnection[] = [];
  readonly #busy = new Set<HttpClientConnection>();
  readonly #waiting: Waiter[] = [];
  /** Places taken: connections that stand or are being made, and those of them for batches. */
  #places = 0;
  #bulkPlaces = 0;
  /** Why the server counts as gone, and since how many attempts. */
  #failure: { readonly error: StoreError; readonly attempts: number } | undefined;
  #attempt: Promise<void> | undefined;
  /** The attempt under way has a connection: somebody is there again. */
  #isReached = false;
  #isClosed = false;

  constructor(options: HttpPoolOptions) {
    this.#options = options;
  }

  /**
   * Runs the exchange on some connection; once more on a new one when that is lost. Rejects with
   * the signal's reason as soon as it fires.
   */
  async run(exchange: HttpExchange, isBulk: boolean, signal: AbortSignal): Promise<ResponseHead> {
    const first = await this.#runOnce(exchange, isBulk, signal);
    if ('head' in first) return first.head;
    // Every request may be repeated: saving or deleting twice is the same as once.
    this.#dropIdle();
    const second = await this.#runOnce(exchange, isBulk, signal);
    if ('head' in second) return second.head;
    throw second.loss;
  }

  /** The server gave no answer in time: the next call finds out first whether it is there. */
  suspect(error: StoreError): void {
    this.#failure ??= { error, attempts: 0 };
    this.#dropIdle();
  }

  close(): void {
    this.#isClosed = true;
    this.#dropIdle();
    for (const connection of this.#busy) connection.destroy();
  }

  async #runOnce(
    exchange: HttpExchange,
    isBulk: boolean,
    signal: AbortSignal,
  ): Promise<{ readonly head: ResponseHead } | { readonly loss: unknown }> {
    if (this.#failure !== undefined) await this.#recover(signal);
    await this.#enter(isBulk, signal);
    try {
      const connection = this.#takeIdle() ?? (await this.#connect(signal));
      this.#busy.add(connection);
      try {
        return { head: await connection.run(exchange, signal) };
      } catch (error) {
        if (signal.aborted || !isLoss(error)) throw error;
        return { loss: error };
      } finally {
        this.#busy.delete(connection);
        this.#giveBack(connection);
      }
    } finally {
      this.#leave(isBulk);
    }
  }

  /** Waits for a place. Batches have fewer of them, so that small calls always find one. */
  async #enter(isBulk: boolean, signal: AbortSignal): Promise<void> {
    const { waitingMax } = this.#options.limits;
    while (!this.#hasPlace(isBulk)) {
      if (this.#waiting.length >= waitingMax) {
        throw new StoreError('BUSY', `${waitingMax} calls wait for a connection already`);
      }
      await this.#waitForPlace(isBulk, signal);
    }
    this.#places += 1;
    if (isBulk) this.#bulkPlaces += 1;
  }

  #hasPlace(isBulk: boolean): boolean {
    const { connectionsMax, bulkConnectionsMax } = this.#options.limits;
    return this.#places < connectionsMax && (!isBulk || this.#bulkPlaces < bulkConnectionsMax);
  }

  #waitForPlace(isBulk: boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const index = this.#waiting.indexOf(waiter);
        if (index >= 0) this.#waiting.splice(index, 1);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
      };
      const waiter = {
        isBulk,
        wake: () => {
          leave();
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  #leave(isBulk: boolean): void {
    this.#places -= 1;
    if (isBulk) this.#bulkPlaces -= 1;
    this.#waiting.find((waiter) => this.#hasPlace(waiter.isBulk))?.wake();
  }

  #takeIdle(): HttpClientConnection | undefined {
    const youngest = this.#options.platform.clock.nowMs() - this.#options.limits.idleMs;
    for (let one = this.#idle.pop(); one !== undefined; one = this.#idle.pop()) {
      if (one.isUsable && one.idleSinceMs >= youngest) return one;
      one.destroy();
    }
    return undefined;
  }

  #giveBack(connection: HttpClientConnection): void {
    if (!connection.isUsable) return;
    if (this.#isClosed) {
      connection.destroy();
      return;
    }
    connection.idleSinceMs = this.#options.platform.clock.nowMs();
    this.#idle.push(connection);
  }

  #dropIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  async #connect(signal: AbortSignal): Promise<HttpClientConnection> {
    const { platform, host, port, limits } = this.#options;
    try {
      return await HttpClientConnection.open(platform.sockets, {
        ...{ host, port, signal },
        timeoutMs: limits.connectMs,
      });
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (isStoreError(error, 'UNAVAILABLE')) this.suspect(error);
      throw error;
    }
  }

  /** Returns when the server answers again; rejects soon when it does not. */
  async #recover(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.platform;
    const timer = new AbortController();
    const onAbort = (): void => timer.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const { recoverMs, reachedMs } = this.#options.limits;
    const pause = (ms: number): Promise<void> => {
      const sleeping = clock.sleep(ms, timer.signal);
      sleeping.catch(() => undefined);
      return sleeping;
    };
    try {
      const since = this.#attemptSince();
      await Promise.race([since, pause(recoverMs)]);
      // On a busy machine a server that has just come back takes its time for the first answer.
      if (this.#failure !== undefined && this.#isReached) {
        await Promise.race([since, pause(reachedMs)]);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      timer.abort();
    }
    if (this.#failure === undefined) return;
    const { error } = this.#failure;
    throw new StoreError('UNAVAILABLE', `the server is gone: ${error.message}`, { cause: error });
  }

  /** An attempt that begins now: one that began before may not see a server that came since. */
  async #attemptSince(): Promise<void> {
    if (this.#attempt !== undefined) await this.#attempt;
    if (this.#failure === undefined) return;
    this.#attempt ??= this.#tryToReach().finally(() => {
      this.#attempt = undefined;
    });
    await this.#attempt;
  }

  /** One attempt, after the pause that is due: a connection, and an answer on it. */
  async #tryToReach(): Promise<void> {
    const { platform, limits } = this.#options;
    const { clock, random } = platform;
    const attempts = this.#failure?.attempts ?? 0;
    const { retryFirstMs: firstMs, retryMostMs: mostMs } = limits;
    if (attempts > 0) {
      await clock.sleep(backoffMs(attempts, random.fraction(), { firstMs, mostMs }));
    }
    const expiry = new AbortController();
    const timer = clock.schedule(limits.connectMs, () => {
      const message = `no answer to a ping in ${limits.connectMs} ms`;
      expiry.abort(new StoreError('UNAVAILABLE', message));
    });
    try {
      const connection = await this.#connectAndPing(expiry.signal);
      this.#failure = undefined;
      this.#giveBack(connection);
    } catch (error) {
      const known = isStoreError(error)
        ? error
        : new StoreError('UNAVAILABLE', messageOf(error), { cause: error });
      this.#failure = { error: known, attempts: attempts + 1 };
    } finally {
      this.#isReached = false;
      timer.cancel();
    }
  }

  async #connectAndPing(signal: AbortSignal): Promise<HttpClientConnection> {
    const { platform, host, port, limits } = this.#options;
    const connection = await HttpClientConnection.open(platform.sockets, {
      ...{ host, port, signal },
      timeoutMs: limits.connectMs,
      onReached: () => {
        this.#isReached = true;
      },
    });
    this.#isReached = true;
    const head = await connection.run(ping, signal);
    if (head.status === 200) return connection;
    connection.destroy();
    throw new StoreError('UNAVAILABLE', `a ping was answered with status ${head.status}`);
  }
}

const ping: HttpExchange = {
  method: 'GET',
  path: paths.ping,
  headers: [],
  byteLength: 0,
  body: () => [],
  receive: () => new CollectSink(4096),
};

/** A connection that broke, or bytes that were damaged on it. */
function isLoss(error: unknown): boolean {
  return isStoreError(error, 'UNAVAILABLE') || isStoreError(error, 'CORRUPT');
}
