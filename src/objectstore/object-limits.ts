const mib = 1024 * 1024;

/** The bounds of object stores that are no settings. A number's reason stands with it. */
export const objectLimits = {
  /** UTF-8 bytes of an object key, the bound of S3. */
  keyBytesMax: 1024,
  /** Objects of one page of a list, the bound of S3. */
  pageObjectsMax: 1000,
  /** A body that get takes memory for unasked: a frame of the largest payload, and its header. */
  unaskedBodyBytesMax: 1025 * mib,
  /** Bytes that a memory store holds when its owner says nothing. */
  memoryBytesMax: 1024 * mib,

  /**
   * Bytes of one read of a file. Between two reads a get looks at its signal; one of this size
   * takes about a millisecond.
   */
  readChunkBytes: 4 * mib,
  /** File status calls in flight for one list; Node has four threads for them. */
  statusesInFlightMax: 16,
  /** UTF-8 bytes of a directory store's root: with the longest key still a path of Linux (4096). */
  rootPathBytesMax: 900,
  /** Attempts to give a file its name while others keep removing its directory. */
  publishAttemptsMax: 16,
  /** Attempts to open an object that is replaced all the while. */
  openAttemptsMax: 16,
  /** Directories whose own names are known to be durable. */
  durableDirectoriesMax: 4096,

  /** Age from which a temporary file belongs to a dead writer: no put takes an hour. */
  leftOverMs: 3_600_000,
  /** Left-over files removed at one opening; the next one removes more. */
  leftOversMax: 1000,

  /** A lock seen unchanged for so long has a dead owner, who holds it for a millisecond. */
  lockStaleMs: 5000,
  /** Wait for a lock: several dead owners in a row. */
  lockWaitMs: 30_000,
  /** Wait between two looks at a lock, at most. */
  lockPollMs: 10,

  /** How long replaced files keep their inode: longer than a tick of the file system's clock. */
  retainedMs: 20,
  /** Replaced files that keep their inode at once. */
  retainedMax: 256,
} as const;
