/**
 * Whether the process stays alive for something that is to happen later: `awaited`, for somebody
 * waits for it; `idle`, and a program that is done may end before.
 */
export type WaitKind = 'awaited' | 'idle';

/** Time, and the one way to wait. */
export interface Clock {
  /** Milliseconds since 1970, as other hosts see it. May jump; never used to measure. */
  wallMs(): number;
  /** Milliseconds since some fixed moment of this process. Never goes back. */
  nowMs(): number;
  /**
   * Resolves after at least `ms` milliseconds, or rejects with the signal's reason when it fires
   * first. `awaited` unless it says otherwise.
   */
  sleep(ms: number, signal?: AbortSignal, kind?: WaitKind): Promise<void>;
  /** Calls `callback` once after `ms` milliseconds. `idle` unless it says otherwise. */
  schedule(ms: number, callback: () => void, kind?: WaitKind): ScheduledCall;
  /** Resolves after other ready work of the event loop has had its turn. */
  yield(): Promise<void>;
}

/** A call that has not happened yet. */
export interface ScheduledCall {
  /** Forgets the call. Harmless when it has happened. */
  cancel(): void;
}
