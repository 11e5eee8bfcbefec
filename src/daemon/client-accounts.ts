import { assert } from '../base/assert.ts';
import { ByteBudget } from '../base/byte-budget.ts';
import { BytePool } from '../base/byte-pool.ts';
import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { Clock } from '../platform/clock.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import { waitOrBusy } from './busy-wait.ts';
import { PinnedBytes } from './pinned-bytes.ts';

/** What one client may have of a daemon at once, over frames. */
export interface ClientLimits {
  readonly connections: number;
  readonly calls: number;
  /** Loads that are worked on side by side; the others wait their turn. */
  readonly loads: number;
  /** Payload bytes on their way in. */
  readonly intakeBytes: number;
  /** Payload bytes pinned for answers; while they are reached no load goes on. */
  readonly pinnedBytes: number;
  /** How long a call waits for its turn, for room, before it gets `BUSY`. */
  readonly waitMs: number;
  /** Of all clients that give the same token. */
  readonly connectionsPerToken: number;
  readonly intakeBytesPerToken: number;
}

const usualLimits: ClientLimits = {
  connections: limits.connectionsPerClientMax,
  calls: limits.callsPerClientMax,
  loads: limits.loadsPerClientMax,
  intakeBytes: limits.intakeBytesPerClientMax,
  pinnedBytes: limits.pinnedBytesPerClientMax,
  waitMs: limits.clientWaitMs,
  connectionsPerToken: limits.connectionsPerTokenMax,
  intakeBytesPerToken: limits.intakeBytesPerTokenMax,
};

/** Whose call it is, and how long it may wait. */
interface Waiting {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What all clients with one token have together. */
interface TokenAccount {
  readonly name: string;
  readonly intake: ByteBudget;
  connections: number;
}

/** What one client has of the daemon, over all its connections. */
export class ClientAccount {
  readonly pins: PinnedBytes;
  readonly #limits: ClientLimits;
  /** What its payloads take from on their way in: its own, its token's, that of all. */
  readonly #intakes: readonly { readonly whose: string; readonly budget: ByteBudget }[];
  readonly #places: ByteBudget;
  connections = 0;
  calls = 0;
  /** Calls that wait for their turn, or for room. */
  waiting = 0;

  constructor(most: ClientLimits, token: TokenAccount | undefined, all: ByteBudget) {
    this.#limits = most;
    this.pins = new PinnedBytes(most.pinnedBytes);
    this.#places = new ByteBudget(most.loads);
    this.#intakes = [
      { whose: 'of this client', budget: new ByteBudget(most.intakeBytes) },
      ...(token === undefined ? [] : [{ whose: 'of this token', budget: token.intake }]),
      { whose: 'of all clients', budget: all },
    ];
  }

  /** Counts a call; {@link endCall} when it has ended. */
  beginCall(): void {
    const most = this.#limits.calls;
    if (this.calls >= most) {
      throw new StoreError(
        'BUSY',
        `${most} calls of this client are under way, which is the limit`,
      );
    }
    this.calls += 1;
  }

  endCall(): void {
    this.calls -= 1;
    assert(this.calls >= 0, 'a call ends once');
  }

  /** Runs a load when it is its turn. Rejects with `BUSY` when that takes too long. */
  async runLoad<Result>(waiting: Waiting, load: () => Promise<Result>): Promise<Result> {
    if (!this.#places.tryTake(1)) {
      const why = (): string => `${this.#limits.loads} loads of this client are under way`;
      await this.#wait(waiting, why, (signal) => this.#places.take(1, signal));
    }
    try {
      return await load();
    } finally {
      this.#places.give(1);
    }
  }

  /** Resolves when more may be pinned for this client. Rejects with `BUSY` after some time. */
  async roomForPins(waiting: Waiting): Promise<void> {
    if (this.pins.hasRoom) return;
    const why = (): string =>
      `${this.pins.bytes} bytes are pinned for answers that this client does not take; ` +
      `at most ${this.#limits.pinnedBytes} may`;
    await this.#wait(waiting, why, (signal) => this.pins.room(signal));
  }

  /** Takes room for payloads. Rejects with `BUSY` when there is none for too long. */
  async takeIntake(bytes: number, waiting: Waiting): Promise<void> {
    const taken: ByteBudget[] = [];
    try {
      for (const { whose, budget } of this.#intakes) {
        if (!budget.tryTake(bytes)) {
          const why = (): string =>
            `${budget.taken} bytes ${whose} are coming in; there is no room for ${bytes} more`;
          await this.#wait(waiting, why, (signal) => budget.take(bytes, signal));
        }
        taken.push(budget);
      }
    } catch (error) {
      for (const budget of taken) budget.give(bytes);
      throw error;
    }
  }

  /** The same without waiting: rejects by throwing `BUSY` when there is no room now. */
  takeIntakeNow(bytes: number): void {
    const taken: ByteBudget[] = [];
    for (const { whose, budget } of this.#intakes) {
      if (!budget.tryTake(bytes)) {
        for (const one of taken) one.give(bytes);
        const message = `${budget.taken} bytes ${whose} are coming in; there is no room for ${bytes} more`;
        throw new StoreError('BUSY', message);
      }
      taken.push(budget);
    }
  }

  /** Gives back what was taken. */
  giveIntake(bytes: number): void {
    for (const { budget } of this.#intakes) budget.give(bytes);
  }

  async #wait(
    waiting: Waiting,
    why: () => string,
    wait: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    this.waiting += 1;
    try {
      await waitOrBusy({ ...waiting, waitMs: this.#limits.waitMs, why }, wait);
    } finally {
      this.waiting -= 1;
    }
  }
}

/** The accounts of all clients that are connected, and what they share. */
export class ClientAccounts {
  /** Memory for payloads that come in, which the thread for checksums shares. Throws `BUSY` when the system has none. */
  readonly pool: BytePool;
  readonly intake = new ByteBudget(limits.intakeBytesMax);
  readonly #limits: ClientLimits;
  readonly #accounts = new Map<string, ClientAccount>();
  readonly #tokens = new Map<string, TokenAccount>();
  readonly #tokenOf = new Map<ClientAccount, TokenAccount>();
  #connections = 0;

  /** `memory` is what {@link pool} takes from. */
  constructor(memory: PayloadMemory, most: Partial<ClientLimits> = {}) {
    this.#limits = { ...usualLimits, ...most };
    this.pool = new BytePool(limits.intakeKeptBytes, (length) => needMemory(memory, length));
  }

  /** Bytes pinned for answers, and calls under way, of all clients. */
  get pinnedBytes(): number {
    return this.#sum(({ pins }) => pins.bytes);
  }

  get calls(): number {
    return this.#sum(({ calls }) => calls);
  }

  get waiting(): number {
    return this.#sum(({ waiting }) => waiting);
  }

  get clients(): number {
    return this.#accounts.size;
  }

  /** Counts a connection before anything is known of it. False when there are too many. */
  admit(): boolean {
    if (this.#connections >= limits.connectionsMax) return false;
    this.#connections += 1;
    return true;
  }

  /** The connection of {@link admit} is over. */
  dismiss(): void {
    this.#connections -= 1;
    assert(this.#connections >= 0, 'a connection ends once');
  }

  /**
   * Joins a connection to its client's account, and to that of its token where there are tokens,
   * until {@link leave}.
   *
   * @throws StoreError `BUSY` when the client, or its token, has too many.
   */
  join(clientId: string, tokenName?: string): ClientAccount {
    const token = tokenName === undefined ? undefined : this.#tokenAccount(tokenName);
    const account =
      this.#accounts.get(clientId) ?? new ClientAccount(this.#limits, token, this.intake);
    if (account.connections >= this.#limits.connections) {
      const most = this.#limits.connections;
      throw new StoreError('BUSY', `this client has ${most} connections, which is the limit`);
    }
    if (token !== undefined && token.connections >= this.#limits.connectionsPerToken) {
      const most = this.#limits.connectionsPerToken;
      throw new StoreError('BUSY', `this token has ${most} connections, which is the limit`);
    }
    account.connections += 1;
    this.#accounts.set(clientId, account);
    if (token === undefined) return account;
    token.connections += 1;
    this.#tokens.set(token.name, token);
    this.#tokenOf.set(account, token);
    return account;
  }

  leave(clientId: string, account: ClientAccount): void {
    account.connections -= 1;
    const token = this.#tokenOf.get(account);
    if (token !== undefined) {
      token.connections -= 1;
      if (token.connections === 0) this.#tokens.delete(token.name);
    }
    if (account.connections > 0) return;
    this.#accounts.delete(clientId);
    this.#tokenOf.delete(account);
  }

  #tokenAccount(name: string): TokenAccount {
    const { intakeBytesPerToken } = this.#limits;
    const fresh = { name, intake: new ByteBudget(intakeBytesPerToken), connections: 0 };
    return this.#tokens.get(name) ?? fresh;
  }

  #sum(pick: (account: ClientAccount) => number): number {
    let sum = 0;
    for (const account of this.#accounts.values()) sum += pick(account);
    return sum;
  }
}
