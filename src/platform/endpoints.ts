/** Unix sockets by path: the proof of life of an owner. */
export interface Endpoints {
  /**
   * Listens on the socket file `path`, which must not exist. Every connection is closed at once:
   * being able to connect is the whole message. Paths longer than the system allows work too.
   */
  listen(path: string): Promise<Listener>;
  /**
   * True when something listens at `path`; false when the file is absent or nobody listens.
   * Rejects with `ABORTED` when neither is known after `timeoutMs`.
   */
  isListening(path: string, timeoutMs: number): Promise<boolean>;
}

/** A socket that listens until it is closed or the process ends. */
export interface Listener {
  /** Stops listening and removes the socket file. */
  close(): Promise<void>;
}
