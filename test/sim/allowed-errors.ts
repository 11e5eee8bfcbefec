import { isStoreError } from '../../src/base/errors.ts';
import type { StoreErrorCode } from '../../src/base/errors.ts';
import type { SimWorld } from './sim-world.ts';
import type { Outcome } from './slot.ts';

/** What may excuse a call that failed. */
export interface Excuses {
  /** Its caller aborted it. */
  readonly isCut: boolean;
  /** Its store was closed meanwhile. */
  readonly isClosing?: boolean;
  /** It needed the bucket, which may be out of reach. */
  readonly mayMissBucket: boolean;
  /** Codes that are always in order for this call. */
  readonly codes: readonly StoreErrorCode[];
}

/** Fails the simulation when the call failed without an excuse. */
export function allowErrors<Value>(
  world: SimWorld,
  what: string,
  outcome: Outcome<Value>,
  excuses: Excuses,
): void {
  if (outcome.kind !== 'failed') return;
  const { error } = outcome;
  if (isStoreError(error) && isExcused(world, error.code, excuses)) return;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  world.fail(`${what} failed: ${text}`);
}

function isExcused(world: SimWorld, code: StoreErrorCode, excuses: Excuses): boolean {
  const { isCut, mayMissBucket, codes } = excuses;
  if (excuses.isClosing === true && mayMissBucket) return true;
  if (codes.includes(code) || code === 'CLOSED') return true;
  const isBucketCalm = world.isNetworkCalm && !world.isBucketOnBadDisk;
  if (code === 'ABORTED') return isCut || (mayMissBucket && !isBucketCalm);
  if (code !== 'UNAVAILABLE') return false;
  return world.areHostsBad || (mayMissBucket && !isBucketCalm);
}
