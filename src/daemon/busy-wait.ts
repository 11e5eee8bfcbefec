import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';

export interface WaitOptions {
  readonly clock: Clock;
  /** Ends the wait early. */
  readonly signal: AbortSignal;
  readonly waitMs: number;
  /** What is said when the time is over. */
  readonly why: () => string;
}

/**
 * Waits for something that the signal ends, for a stated time: then it rejects with `BUSY`, so that
 * whoever takes too much is told to slow down instead of being left alone.
 */
export async function waitOrBusy<Result>(
  { clock, signal, waitMs, why }: WaitOptions,
  wait: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  const expire = (): void => controller.abort(new StoreError('BUSY', why()));
  const timer = clock.schedule(waitMs, expire, 'awaited');
  try {
    return await wait(controller.signal);
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
  }
}
