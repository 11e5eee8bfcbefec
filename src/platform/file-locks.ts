/**
 * Locks of files, which the system takes back when their process ends, however it ends. They bind
 * only those who ask. Present where native code is; a file system without them has none to give.
 */
export interface FileLocks {
  /** Locks the file, which is there; undefined when another holds it or there are no locks. */
  take(path: string): Promise<FileLock | undefined>;
  /** True when somebody, this process included, holds the lock of the file. */
  isHeld(path: string): Promise<boolean>;
}

/** A lock that is held until it is released or the process ends. */
export interface FileLock {
  release(): Promise<void>;
}
