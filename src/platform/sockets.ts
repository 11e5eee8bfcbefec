/** Where a socket is, or is to be. */
export type SocketAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/**
 * Who takes the bytes of one connection. They are read straight into its memory: nothing is copied
 * on the way.
 */
export interface SocketReceiver {
  /** Memory for the next bytes, at least one. Asked for before every read. */
  nextBuffer(): Uint8Array;
  /**
   * So many bytes lie at the beginning of that memory now. What it throws ends the connection. The
   * next memory is asked for at once, so it must stay as it is until the next call of `received` or
   * `closed`, also when nothing is to be read in between.
   */
  received(count: number): void;
  /**
   * The other side sends no more, and may still take what is sent. A receiver without this method
   * ends its own side then.
   */
  ended?(): void;
  /** The connection is over, once. The cause is absent when both sides ended it in order. */
  closed(cause: Error | undefined): void;
}

/** A connection that stands. The owner destroys it. */
export interface SocketConnection {
  /** Text for messages: where the other side is. */
  readonly peer: string;
  /** Bytes written and not yet taken by the system. The writer bounds them. */
  readonly queuedBytes: number;
  /** Queues the parts, in order. Their memory must not change until {@link flushed} resolves. */
  write(parts: readonly Uint8Array[]): void;
  /**
   * Resolves when the system has all that was written before. Rejects when the connection ends first:
   * with its cause, or else with `UNAVAILABLE`.
   */
  flushed(): Promise<void>;
  /**
   * Tells the other side at once that what came is here, where native code can: a sender that waits for
   * that with the rest of what it has goes on. The system itself takes up to 40 ms.
   */
  acknowledge(): void;
  /** Stops or goes on reading. */
  setReading(isReading: boolean): void;
  /** Whether the connection keeps the process alive. */
  setAwaited(isAwaited: boolean): void;
  /** Closes the connection when all that was written has been sent. */
  end(): void;
  /** Closes the connection at once. What is queued is dropped. */
  destroy(cause?: Error): void;
  /** The same, and the other side learns at once that nobody waits for anything any more. */
  reset(): void;
}

/** A socket that takes connections. */
export interface SocketListener {
  /** Where it really listens: the port is the one that the system gave for port 0. */
  readonly address: SocketAddress;
  /** Takes no more connections; those that stand go on. */
  close(): Promise<void>;
}

export interface ConnectOptions {
  /** Time until the connection stands. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /**
   * Told when somebody listens at the address and the connection does not stand yet: over TLS a busy machine takes its
   * time in between. Where both are one nobody is told.
   */
  readonly onReached?: (() => void) | undefined;
}

/** Called for every connection; gives who takes its bytes. */
export type ReceiverMaker = (connection: SocketConnection) => SocketReceiver;

/** Streams of bytes between processes: Unix sockets and TCP. */
export interface Sockets {
  /**
   * Rejects with the system's error, or `ABORTED` when there is no connection in time or the signal
   * fires.
   */
  connect(
    address: SocketAddress,
    options: ConnectOptions,
    receiverOf: ReceiverMaker,
  ): Promise<SocketConnection>;
  /**
   * Listens. Rejects with the system's `EADDRINUSE` when the address is taken: no two processes
   * share one. The file of a Unix socket must not exist and is made with mode 0600.
   */
  listen(address: SocketAddress, receiverOf: ReceiverMaker): Promise<SocketListener>;
  /** The numeric addresses of a host name, which may be one already. */
  resolve(host: string): Promise<readonly string[]>;
}
