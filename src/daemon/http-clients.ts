import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { waitOrBusy } from './busy-wait.ts';
import { HttpAdmission } from './http-admission.ts';
import type { HttpLimits } from './http-limits.ts';
import { PinnedBytes } from './pinned-bytes.ts';

/** What one client has of an HTTP server: requests under way, bodies, pinned payloads. */
export class HttpClientAccount {
  readonly pins: PinnedBytes;
  /** Room for the bodies of this client alone, before that of all. */
  readonly bodies: HttpAdmission;
  readonly #clock: Clock;
  readonly #limits: HttpLimits;
  readonly #loads: HttpAdmission;
  requests = 0;

  constructor(clock: Clock, limits: HttpLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.pins = new PinnedBytes(limits.pinnedBytesPerClientMax);
    const { bodiesBytesPerClientMax: bytesMax, loadsPerClientMax, admissionMs: waitMs } = limits;
    const bodiesAre = (bytes: number): string => `bodies of ${bytes} bytes of this client`;
    this.bodies = new HttpAdmission(clock, { bytesMax, waitMs, describe: bodiesAre });
    const loadsAre = (count: number): string => `${count} loads of this client`;
    this.#loads = new HttpAdmission(clock, {
      ...{ bytesMax: loadsPerClientMax, waitMs, describe: loadsAre },
    });
  }

  /** Runs a load when it is its turn and there is room. Rejects with `BUSY` after some time. */
  async runLoad<Result>(signal: AbortSignal, load: () => Promise<Result>): Promise<Result> {
    await this.#loads.enter(1, signal);
    try {
      if (!this.pins.hasRoom) await this.#roomForPins(signal);
      return await load();
    } finally {
      this.#loads.leave(1);
    }
  }

  #roomForPins(signal: AbortSignal): Promise<void> {
    const { admissionMs: waitMs, pinnedBytesPerClientMax } = this.#limits;
    const why = (): string =>
      `${this.pins.bytes} bytes are pinned for answers that this client does not take; ` +
      `at most ${pinnedBytesPerClientMax} may`;
    return waitOrBusy({ clock: this.#clock, signal, waitMs, why }, (ended) =>
      this.pins.room(ended),
    );
  }
}

/**
 * The clients of an HTTP server. A client is a token, or where there is none an address: connections
 * are counted by address, for of more nothing is known when they are taken.
 */
export class HttpClients {
  readonly #clock: Clock;
  readonly #limits: HttpLimits;
  readonly #accounts = new Map<string, HttpClientAccount>();
  readonly #connections = new Map<string, number>();

  constructor(clock: Clock, limits: HttpLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Counts a connection of the peer. False when its address has too many. */
  connect(peer: string): boolean {
    const address = addressOf(peer);
    const count = this.#connections.get(address) ?? 0;
    if (count >= this.#limits.connectionsPerAddressMax) return false;
    this.#connections.set(address, count + 1);
    return true;
  }

  /** The connection of {@link connect} is over. */
  disconnect(peer: string): void {
    const address = addressOf(peer);
    const count = (this.#connections.get(address) ?? 1) - 1;
    if (count === 0) this.#connections.delete(address);
    else this.#connections.set(address, count);
  }

  /** The same for a request that anybody may make: no client's own keep it out. */
  beginProbe(): ReturnType<HttpClients['begin']> {
    return this.begin('', '');
  }

  /**
   * Counts a request of whoever gave the token of that name, else of the peer's address, until what it
   * gives is called, once.
   *
   * @throws StoreError `BUSY` when too many are under way.
   */
  begin(
    tokenName: string | undefined,
    peer: string,
  ): { readonly account: HttpClientAccount; readonly end: () => void } {
    const name = tokenName === undefined ? `address ${addressOf(peer)}` : `token ${tokenName}`;
    const account = this.#accounts.get(name) ?? new HttpClientAccount(this.#clock, this.#limits);
    const most = this.#limits.requestsPerClientMax;
    if (account.requests >= most) {
      const message = `${most} requests of this client are under way, which is the limit`;
      throw new StoreError('BUSY', message);
    }
    account.requests += 1;
    this.#accounts.set(name, account);
    const end = (): void => {
      account.requests -= 1;
      // Pins end with the answer, and bodies before it: nothing is held by an idle client.
      if (account.requests === 0) this.#accounts.delete(name);
    };
    return { account, end };
  }
}

/** The address of `address:port`. */
function addressOf(peer: string): string {
  return peer.slice(0, Math.max(0, peer.lastIndexOf(':')));
}
