import type { Listener } from './endpoints.ts';

/** Visits between processes of one host: who visits learns when the other one is done. */
export interface Visits {
  /**
   * Takes visits at the socket file `path`, which must not exist. A visitor waits until the listener
   * is closed where `onVisit` gives true, and is sent away at once otherwise.
   */
  receive(path: string, onVisit: () => boolean): Promise<Listener>;
  /**
   * Resolves to `over` when the other process sends the visitor away or ends, to `late` when it did
   * neither in time, and to `nobody` when none takes visits there.
   */
  visit(path: string, timeoutMs: number): Promise<'over' | 'late' | 'nobody'>;
}
