import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { systemErrorCode } from '../base/errors.ts';
import type { FileLocks } from './file-locks.ts';

/** The one call that is needed of native code. */
interface Flock {
  lock(descriptor: number, isShared: boolean): boolean;
}

/** What flock(2) says on a file system that has no locks. */
const withoutLocks: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOLCK', 'ENOTSUP']);

/**
 * Files that are locked. A lock lasts until it is released or the process ends, also when whoever took it has become
 * garbage; Node would close the file then, and complain on standard error.
 */
const lockedFiles = new Set<FileHandle>();

/** Locks by flock(2): of an open file, so that the lock ends with it. */
export function nodeFileLocks(native: Flock): FileLocks {
  return {
    async take(path) {
      const handle = await open(path, 'r');
      let isTaken = false;
      try {
        isTaken = tryLock(native, handle, false) === true;
      } finally {
        if (!isTaken) await handle.close();
      }
      if (!isTaken) return undefined;
      lockedFiles.add(handle);
      return {
        release() {
          lockedFiles.delete(handle);
          return handle.close();
        },
      };
    },
    async isHeld(path) {
      let handle: FileHandle;
      try {
        handle = await open(path, 'r');
      } catch (error) {
        if (systemErrorCode(error) === 'ENOENT') return false;
        throw error;
      }
      try {
        // Those who look share the lock, so that one of them is not taken for the owner.
        return tryLock(native, handle, true) === false;
      } finally {
        await handle.close();
      }
    },
  };
}

/** True when locked, false when another has the lock, undefined where there are none. */
function tryLock(native: Flock, handle: FileHandle, isShared: boolean): boolean | undefined {
  try {
    return native.lock(handle.fd, isShared);
  } catch (error) {
    if (withoutLocks.has(systemErrorCode(error))) return undefined;
    throw error;
  }
}
