import { assert } from '../base/assert.ts';
import { ByteBudget } from '../base/byte-budget.ts';
import { BytePool } from '../base/byte-pool.ts';
import { sharedBytes } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import { limits } from '../blocks/limits.ts';

/** What one client has of the daemon, over all its connections. */
export class ClientAccount {
  readonly loads = new Semaphore(limits.loadsPerClientMax);
  readonly intake = new ByteBudget(limits.intakeBytesPerClientMax);
  connections = 0;
  calls = 0;

  /** Counts a call; {@link endCall} when it has ended. */
  beginCall(): void {
    if (this.calls >= limits.callsPerClientMax) {
      const most = limits.callsPerClientMax;
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
}

/** The accounts of all clients that are connected, and what they share. */
export class ClientAccounts {
  /** Memory for payloads that come in, which the thread for checksums shares. */
  readonly pool = new BytePool(limits.intakeKeptBytes, sharedBytes);
  readonly intake = new ByteBudget(limits.intakeBytesMax);
  readonly #accounts = new Map<string, ClientAccount>();
  #connections = 0;

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
   * Joins a connection to its client's account, until {@link leave}.
   *
   * @throws StoreError `BUSY` when the client has too many.
   */
  join(clientId: string): ClientAccount {
    const account = this.#accounts.get(clientId) ?? new ClientAccount();
    if (account.connections >= limits.connectionsPerClientMax) {
      const most = limits.connectionsPerClientMax;
      throw new StoreError('BUSY', `this client has ${most} connections, which is the limit`);
    }
    account.connections += 1;
    this.#accounts.set(clientId, account);
    return account;
  }

  leave(clientId: string, account: ClientAccount): void {
    account.connections -= 1;
    if (account.connections === 0) this.#accounts.delete(clientId);
  }
}
