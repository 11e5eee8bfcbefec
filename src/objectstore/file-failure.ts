import { messageOf, StoreError, systemErrorCode } from '../base/errors.ts';

/**
 * Runs a task on files; an error of the system becomes `UNAVAILABLE` with what was tried, on which
 * path, and the error as cause. A full disk, missing rights, a lost mount, too few descriptors: for
 * the caller all of them mean to try later or to go on without.
 */
export async function onFiles<Result>(what: string, task: () => Promise<Result>): Promise<Result> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof StoreError || systemErrorCode(error) === undefined) throw error;
    throw new StoreError('UNAVAILABLE', `${what} failed: ${messageOf(error)}`, { cause: error });
  }
}
