import type { DaemonService } from './daemon-service.ts';

/**
 * A kind of door of a daemon: sockets and what is spoken there. `Daemon` opens them all, and
 * knows nothing else of them.
 */
export interface Transport {
  /**
   * Binds its addresses, all or none, and serves from then on.
   *
   * @throws StoreError `BUSY` when another has the address, `INVALID` for one that cannot be.
   */
  open(service: DaemonService): Promise<OpenTransport>;
}

export interface OpenTransport {
  /** What `ready` says of it. */
  readonly addresses: readonly BoundAddress[];
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
