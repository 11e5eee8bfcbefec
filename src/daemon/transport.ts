import type { DaemonService } from './daemon-service.ts';

/**
 * One door of a daemon: a kind of socket and what is spoken there. `Daemon` opens them all, and
 * knows nothing else of them.
 */
export interface Transport {
  /**
   * Binds the address and serves from then on.
   *
   * @throws StoreError `BUSY` when another has the address, `INVALID` for one that cannot be.
   */
  open(service: DaemonService): Promise<OpenTransport>;
}

export interface OpenTransport {
  /** What `ready` says of it. */
  readonly address: BoundAddress;
  /** Takes no new connections and refuses new calls with `CLOSED`. Resolves when none runs. */
  drain(): Promise<void>;
  /** Ends every connection at once, and its calls. */
  close(): Promise<void>;
}

export interface BoundAddress {
  readonly transport: 'unix' | 'tcp' | 'http';
  /** As a client gives it to `connect()`. */
  readonly url: string;
  /** The prefix of a Unix socket in the runtime directory. */
  readonly prefix?: string | undefined;
}
