/** How long to wait between attempts. */
export interface BackoffOptions {
  /** Wait before the second attempt, in milliseconds. */
  readonly firstMs: number;
  /** No wait is longer than this, in milliseconds. */
  readonly mostMs: number;
}

/**
 * Milliseconds to wait after `failures` failed attempts: doubling, the upper half of it random, so
 * that many waiters do not come back together. `fraction` is a random number in [0, 1).
 */
export function backoffMs(failures: number, fraction: number, options: BackoffOptions): number {
  const ceiling = Math.min(options.mostMs, options.firstMs * 2 ** Math.max(0, failures - 1));
  return ceiling / 2 + (ceiling / 2) * fraction;
}
