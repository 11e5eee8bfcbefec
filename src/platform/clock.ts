/** Time, and the one way to wait. */
export interface Clock {
  /** Milliseconds since 1970, as other hosts see it. May jump; never used to measure. */
  wallMs(): number;
  /** Milliseconds since some fixed moment of this process. Never goes back. */
  nowMs(): number;
  /**
   * Resolves after at least `ms` milliseconds, or rejects with the signal's reason when it fires
   * first. Keeps the process alive meanwhile: somebody waits for it.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` once after `ms` milliseconds. Does not keep the process alive by itself. */
  schedule(ms: number, callback: () => void): ScheduledCall;
  /** Resolves after other ready work of the event loop has had its turn. */
  yield(): Promise<void>;
}

/** A call that has not happened yet. */
export interface ScheduledCall {
  /** Forgets the call. Harmless when it has happened. */
  cancel(): void;
}
