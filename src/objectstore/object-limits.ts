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
  /**
   * Objects that a directory has open for reading at once, whatever its callers ask for together. It
   * bounds descriptors; a batch of 14 objects takes as long with 2, 3, 4 or 8.
   */
  directoryReadsMax: 3,
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

  /**
   * How calls on a bucket are repeated. Ten seconds for a small attempt is an eternity for S3, and
   * a load of a store gives up by then; uploads have a minute and their own retries above.
   */
  retry: {
    attemptsMax: 4,
    attemptMs: 10_000,
    attemptBytesPerSecondMin: 512 * 1024,
    callMs: 45_000,
    backoff: { firstMs: 50, mostMs: 2000 },
    throttledBackoff: { firstMs: 400, mostMs: 10_000 },
  },
  /** A hundred retries in a row, then one for ten successes: a tenth more load at most. */
  retryBudget: { most: 100, successesForOne: 10 },

  /**
   * Calls on a bucket at once: as many as there are connections, so that none waits for one with
   * its time running. The store has a few lanes; whoever waits is a program with thousands of calls.
   */
  bucketCalls: { callsMax: 32, waitingMax: 10_000 },

  /** Connections to one S3 server; each carries one request at a time. */
  s3ConnectionsMax: 32,
  /** An exchange with an S3 server without a body that is worth counting. */
  s3RequestMs: 60_000,
  /** The slowest line that is waited for: bodies get a second for so many bytes besides. */
  s3BytesPerSecondMin: 512 * 1024,
  /** The longest pause between two signs of life of an S3 server. */
  s3IdleMs: 20_000,
  /** Clean-up after an upload that failed: short, for close waits for it. */
  s3CleanUpMs: 5000,
  /** Bytes of an answer that tells of an error. */
  s3ErrorBytesMax: 64 * 1024,
  /** Bytes of a page of a list: 1000 keys of 1024 bytes, percent-encoded, and their facts. */
  s3ListBytesMax: 8 * mib,
  /** Elements of an XML answer: a page has about eight for each object. */
  s3XmlElementsMax: 20_000,
  /** Larger bodies are put in parts. Below it if-absent is atomic on servers that ignore it there. */
  s3MultipartBytesMin: 128 * mib,
  /** Larger bodies are got in parts, side by side: the size at which one stream is the brake. */
  s3ParallelGetBytesMin: 64 * mib,
  /** Bytes of one part; S3 has at most 10,000 parts, and none but the last below 5 MiB. */
  s3PartBytes: 32 * mib,
  /** Parts of one body that are under way at once. */
  s3PartsInFlightMax: 4,
  /** A server's clock further off than this is why it refused; S3 itself tolerates 15 minutes. */
  s3SkewToleratedMs: 4 * 60_000,
  /** Credentials that end sooner than this are fetched anew. */
  s3CredentialsMarginMs: 5 * 60_000,
  /** Wait for whatever hands out credentials. */
  s3CredentialsMs: 15_000,
  /** Looks at an object that grows while its end is asked for. */
  s3RangeAttemptsMax: 3,
} as const;
