/** Streams of bytes between machines, and between processes of one. */
export interface TcpSockets {
  /**
   * Listens. For every connection `accept` gives the receiver of its bytes; it must not use the
   * socket before it has returned. Rejects with `UNAVAILABLE` when the address is taken or is none of this machine.
   */
  listen(
    options: TcpListenOptions,
    accept: (socket: TcpSocket) => TcpReceiver,
  ): Promise<TcpListener>;

  /** Connects. Rejects with `UNAVAILABLE`, or with `ABORTED` when the signal fires. */
  connect(options: TcpConnectOptions, receiver: TcpReceiver): Promise<TcpSocket>;
}

export interface TcpListenOptions {
  /** A name or an address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Connections that wait to be accepted; the system may take fewer. */
  readonly backlog: number;
}

export interface TcpConnectOptions {
  readonly host: string;
  readonly port: number;
  /** Time until the connection stands. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface TcpListener {
  readonly host: string;
  readonly port: number;
  /** Takes no more connections. Those that stand are not touched. */
  close(): Promise<void>;
}

/**
 * Where bytes of a connection go. They land in the receiver's own memory, without another copy:
 * the socket asks for `space()`, fills some of it, tells so by `received`, and asks again at once.
 * So the memory must stay the receiver's until the next call of `received`, or until `closed`, also
 * when the socket is paused in between.
 */
export interface TcpReceiver {
  /** Memory for what comes next, at least one byte. */
  space(): Uint8Array;
  /** The first `count` bytes of the memory that `space` gave last are filled. */
  received(memory: Uint8Array, count: number): void;
  /** The peer sends no more. */
  ended(): void;
  /** The connection is gone; nothing is called after this. Undefined when nothing went wrong. */
  closed(error: Error | undefined): void;
}

/** One end of a connection. */
export interface TcpSocket {
  /** Address and port of the other end, for messages. */
  readonly peer: string;
  /**
   * Resolves when the system has taken all parts, in order; they must not change until then.
   * Rejects with `UNAVAILABLE` when the connection ends first. Calls are carried out in order; the
   * caller bounds how many wait.
   */
  write(parts: readonly Uint8Array[]): Promise<void>;
  /** Reads no more until {@link resume}: the peer is held back once the system's memory is full. */
  pause(): void;
  resume(): void;
  /** Sends no more; what was written still goes out. Reading goes on. */
  end(): void;
  /** Closes now. What the system has taken may still arrive. */
  destroy(): void;
  /** Closes so that the peer learns at once that nobody waits for anything any more. */
  reset(): void;
}
