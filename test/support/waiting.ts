import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../../src/base/deferred.ts';

/** Pause between two looks of {@link eventually}. */
const lookEveryMs = 25;

/** Waits until `check` gives true, for things that the contract promises within a second or so. */
export async function eventually(
  what: string,
  check: () => Promise<boolean>,
  withinMs = 20_000,
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await check())) {
    assert.ok(performance.now() < end, `not within ${withinMs} ms: ${what}`);
    await sleep(lookEveryMs);
  }
}

/**
 * Runs `work` and rejects when it has not settled in time. Keeps the event loop alive meanwhile: the
 * timers of a store do not, so a test that waits for nothing else would end before they fire.
 */
export async function withTimeLimit<Result>(
  msMax: number,
  what: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const { promise: expiry, reject } = deferred<never>();
  const timer = setTimeout(() => reject(new Error(`${what}: not settled in ${msMax} ms`)), msMax);
  const running = work();
  // Nobody listens any more when it rejects after the time is over.
  running.catch(() => undefined);
  try {
    return await Promise.race([running, expiry]);
  } finally {
    clearTimeout(timer);
  }
}
