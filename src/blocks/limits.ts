/**
 * Every bound of the system that is not a setting, in one place. A number's reason stands with it;
 * `limits.test.ts` checks the relations between them.
 */
const kib = 1024;
const mib = 1024 * kib;

export const limits = {
  /** Tokens of a block: a positive multiple of the first, at most the second (the identity rule). */
  blockTokensUnit: 128,
  blockTokensMax: 8192,
  /** UTF-8 bytes of a namespace name. */
  namespaceBytesMax: 80,
  /** Namespaces whose digest is kept, so that it is not computed for every frame. */
  namespacesRememberedMax: 1024,
  /** Bytes of one payload. Its length fields hold more; a single array of Node does not. */
  payloadBytesMax: 1024 * mib,
  /** Keys in one call. */
  keysPerCallMax: 65_536,
  /** Following keys in a frame's header: with them it stays below `frameHeaderBytesMax`. */
  followingKeysMax: 63,
  /** A frame's header and keys fit the first 4 KiB, which is what a lookup reads. */
  frameHeaderBytesMax: 4 * kib,
  /** Tails kept under one tip. */
  tailsPerTipMax: 8,
  /** Bytes of an object key, the bound of S3. */
  objectKeyBytesMax: 1024,

  /** Sub-directories of a shared cache directory, each owned by one store process. */
  cacheDirectoriesMax: 8,
  /** Wait for a sign of life of a sub-directory's owner. A stopped owner answers too. */
  ownerProbeMs: 1000,
  /** Size at which a segment of the disk tier is sealed and the next one begun. */
  segmentBytes: 64 * mib,
  /** Bytes of a segment's index file: about 190,000 records. Segments of more are scanned. */
  segmentIndexBytesMax: 32 * mib,
  /** Smallest unit of the memory tier; an extent is a multiple of it. */
  extentBytesUnit: 4 * kib,
  /**
   * The same of extents of so many bytes and more. What comes from the object store has its header before it, which
   * differs by up to 2 KiB among blocks of one length: they share a size class nearly always.
   */
  largeExtentBytesMin: mib,
  largeExtentBytesUnit: 16 * kib,
  /** Memory is taken and given back in slabs of this size; larger extents get their own. */
  slabBytes: 32 * mib,
  /**
   * The same where another thread makes memory ahead of need and has not kept up: new memory takes up to 1.5 ms for each
   * MiB (docs/decisions/0108).
   */
  takenAtOnceBytesMax: 4 * mib,

  /**
   * What may be accepted in shared memory and not be in the log yet: a share of the memory tier, and at most so
   * much; the next process copies it as it opens, and closing does. More goes to the log at once.
   */
  acceptedInMemoryShare: 1 / 2,
  acceptedInMemoryBytesMax: 1024 * mib,
  /** It is written to the log when no save has come for so long, or when this share of it is taken. */
  acceptedRestMs: 1000,
  acceptedWriteShare: 1 / 2,
  /** Wait before the log is tried again that refused it. */
  acceptedRetryMs: 5000,

  /**
   * Bytes of a ring in which a client of this host leaves small saves, a power of two; what all of them may take of
   * the memory tier; blocks of one save there, bytes that each of them takes at least, and of a payload that lies there
   * itself at most.
   */
  ringBytes: 8 * mib,
  ringsShare: 1 / 8,
  ringBlocksMax: 1024,
  ringBlockBytesMin: 512,
  ringPayloadBytesMax: 16 * kib,
  /**
   * Memory that is lent to clients with rings ahead of need, for the payloads of their next save: as many payloads and
   * bytes for each, and of the memory tier for all. Who leaves nothing there for so long has to ask anew.
   */
  ringLoansMax: 128,
  ringLoanedBytesMax: 192 * mib,
  ringLoansShare: 1 / 4,
  ringLoansIdleMs: 60_000,
  /** How long a store that is told of saves in a ring waits for more of them. */
  ringGatherMs: 10,
  /** Saves, and their bytes, that are taken out of rings before other work of the thread has a turn: some milliseconds. */
  ringTurnSaves: 64,
  ringTurnBytes: mib / 2,

  /**
   * What one client on the host pins of the memory tier at most, as a share of it. Beyond that it is sent copies, so that
   * a client which keeps what it borrowed leaves others memory, and the store something to evict.
   */
  pinnedByClientShare: 3 / 4,
  /** Of the bytes of a shared memory tier, what its index takes at most, for a moment two of them. */
  sharedIndexShare: 1 / 16,
  /** Bytes of known keys that are moved to shared memory without a pause: about a millisecond. */
  sharingStepBytes: mib,

  /** Memory touched ahead of need when a store is opened: the state of a prompt of some length. */
  prefaultBytes: 64 * mib,

  /** Object-store requests in flight for one call. Eight fill a loopback server. */
  fetchesInFlightMax: 8,
  /** Blocks that one load brings at once: most of an object store's connections (docs/decisions/0041). */
  loadsInFlightMax: 24,
  /** Wait of a save for the object store's word on a block that only a list names. */
  confirmMs: 1000,
  /** Uploads in flight for one store. */
  uploadsInFlightMax: 4,
  /**
   * The same of small payloads, besides. What such an upload costs is trips to threads and to the
   * object store, and those that wait make them together (docs/decisions/0096).
   */
  smallUploadsInFlightMax: 16,
  smallUploadBytesMax: 64 * kib,
  /** Saves whose uploads are under way side by side; the others wait their turn. */
  uploadBatchesMax: 16,
  /** Bytes accepted and not yet uploaded; beyond it a save gets BUSY. */
  backlogBytesMax: 4096 * mib,
  /** The same as a number of payloads. */
  backlogCountMax: 262_144,
  /** Time for one attempt of one upload; above it the attempt has failed. */
  uploadAttemptMs: 60_000,
  /** Wait after a failed upload: first, and at most. */
  uploadRetryFirstMs: 200,
  uploadRetryMostMs: 30_000,

  /**
   * Keys that the catalog remembers as present in the bucket: as many as 256 MiB hold without being
   * fuller than is fast. Of more, those not asked for lately are forgotten.
   */
  catalogKeysMax: 12 * mib,
  /**
   * Bytes of the file that hands them to the next process, and which share of the disk budget it may
   * take: about all of them in a budget of 8 GiB.
   */
  catalogFileBytesMax: 264 * mib,
  catalogFileShare: 1 / 32,
  /** Namespaces whose keys it remembers; of more, the one seen first is forgotten. */
  catalogNamespacesMax: 65_536,
  /**
   * Keys that the catalog remembers as absent, and for how long: with the time of a request less
   * than the second in which other hosts must see what is durable.
   */
  negativeKeysMax: 65_536,
  negativeMs: 900,
  /** Keys remembered as dropped or removed for lack of room; each takes about 150 bytes. */
  evictedKeysMax: 65_536,
  /** How long a corrupt object is remembered and not read again. */
  corruptMs: 600_000,
  corruptKeysMax: 65_536,
  /** Namespaces of which is remembered whether they hold objects of the v1 format. */
  legacyNamespacesMax: 65_536,
  /** Wait for the list that tells it; whoever needs it meanwhile has a deadline of its own. */
  legacyListMs: 10_000,
  /** Lists of following keys shorter than this in a row make lookup probe ahead instead. */
  shortListsBeforeProbing: 2,
  /** Blocks asked for at once where the end of a chain is narrowed down (chain-search.test.ts). */
  narrowingProbes: 3,
  /** Age from which a raw tail that another host may have replaced is revalidated. */
  rawTailFreshMs: 1000,

  /** Deadlines of calls that have no setting of their own. */
  saveDeadlineMs: 10_000,
  tailDeadlineMs: 10_000,
  flushDeadlineMs: 60_000,
  deleteDeadlineMs: 60_000,
  /** Time that close() gives uploads before it leaves them to the next process. */
  drainMs: 10_000,

  /**
   * Collection of the object store. Wait after opening before the first list, so that opening is
   * not slowed, and between two looks at the running estimate of the bucket's bytes.
   */
  collectStartMs: 3000,
  collectLookMs: 1000,
  /** Age of that estimate from which the bucket is listed again: other processes write too. */
  collectListMs: 600_000,
  /** A collection frees down to this share of the budget, so that the next one is not soon due. */
  collectTargetShare: 0.9,
  /** What was written or used within this time goes only when there is nothing else. */
  collectAgeMsMin: 60_000,
  /** Wait after a collection that could remove nothing. */
  collectFutileMs: 60_000,
  /** Time for one request of a collection. */
  collectRequestMs: 30_000,
  /** Wait after a collection that failed: first, and at most. */
  collectRetryFirstMs: 1000,
  collectRetryMostMs: 600_000,
  /**
   * A claim of room in the bucket is written under for so long, and counts for others for so long by
   * the bucket's clock: the difference is more than what is being written may still take.
   */
  roomClaimFreshMs: 30_000,
  roomClaimExpiredMs: 180_000,
  /** Time for taking a claim back when the store closes. */
  roomClaimWithdrawMs: 2000,
  /** Objects that one collection looks at, about 250 bytes of memory each; more are only counted. */
  collectObjectsMax: 1_000_000,
  /** Objects that it handles before it lets other work of the thread have a turn: about 1 ms. */
  collectTurnObjectsMax: 1024,
  /** Objects removed between two lines of the log. */
  collectReportObjects: 10_000,
  /** Payloads whose last use is remembered at least; up to twice as many are. */
  usesRememberedMax: 131_072,

  /** Bytes that a call may check or copy before it lets other work of the thread have a turn. */
  turnBytesMax: 4 * mib,
  /** Keys of a save that a daemon looks up before others have their turn: some milliseconds. */
  turnKeysMax: 2048,

  /** Bytes of a message of the protocol, a piece of a payload aside: one with all keys fits. */
  messageBytesMax: 8 * mib,
  /** The same before a client has said who it is. */
  greetingBytesMax: 8 * kib,
  /** Bytes of a piece of a payload: what another call on the same connection waits for at most. */
  pieceBytesMax: mib,
  /** Payload bytes that a client sends with a save unasked: below them a round trip costs more. */
  eagerBytesMax: 128 * kib,
  /** A daemon's file of tokens: its bytes, tokens in it, and characters of one. */
  tokenFileBytesMax: 256 * kib,
  tokensMax: 1024,
  tokenLengthMax: 512,
  /** Bytes of a file of certificates or of a key: the roots of a whole system fit. */
  pemFileBytesMax: mib,
  /** Pause between two looks whether files that a daemon was given have changed. */
  reloadLookMs: 1000,
  /** Connections to a daemon, and those of one client among them. */
  connectionsMax: 512,
  connectionsPerClientMax: 16,
  /** Connections, and payload bytes coming in, of all clients with one token: half of what there is. */
  connectionsPerTokenMax: 256,
  intakeBytesPerTokenMax: 512 * mib,
  /** Calls that a client may have under way at a daemon. */
  callsPerClientMax: 256,
  /** Loads of a client that a daemon works on side by side; the others wait their turn. */
  loadsPerClientMax: 4,
  /** Payload bytes pinned for a client's answers: two parts of each of its loads. */
  pinnedBytesPerClientMax: 256 * mib,
  /** How long a call waits for what other calls of its client have, before it gets `BUSY`. */
  clientWaitMs: 5000,
  /** Payload bytes that a load keeps pinned at a time, and blocks of its first part. */
  loadPartBytes: 32 * mib,
  loadPartBlocksMin: 16,
  /**
   * Payload bytes of a save that are stored together; a larger batch goes in groups, the next one
   * coming while one is stored, so that a daemon has two in memory (docs/decisions/0046).
   */
  saveGroupBytes: 16 * mib,
  /** Payload bytes on the way into a daemon: of one client, and of all. */
  intakeBytesPerClientMax: 256 * mib,
  intakeBytesMax: 1024 * mib,
  /** Memory for payloads on the way that is kept for the next ones. */
  intakeKeptBytes: 128 * mib,
  /** Bytes of answers queued on a connection, beyond which nothing more is read from it. */
  queuedBytesMax: 8 * mib,
  /** A client that has not said who it is by then has gone or is none. */
  greetingMs: 5000,
  /** A frame that has begun is whole by then, and queued bytes have moved. */
  stalledMs: 30_000,
  /** Pause between two looks for connections that do neither. */
  stalledLookMs: 1000,
  /** Time for a client to connect and be let in. */
  connectMs: 5000,
  /**
   * Pause between two times that a client tells a daemon what it used of its memory without a call, and how long that
   * may take; chains that it tells of, those used last.
   */
  noteMs: 1000,
  notedChainsMax: 32,
  /** When a client looks at the entries of what it left in a ring, which the store has shown by then; saves of which it does. */
  metMs: 200,
  metSavesMax: 32,
  /** What a client waits beyond a call's deadline for the answer that the daemon gives by it. */
  answerGraceMs: 250,
  /** How long a call waits for a daemon that was away when it was last tried; 50 ms is the promise. */
  awayWaitMs: 30,
  /** Pause between two attempts to reach it that calls make, and those that nobody waits for. */
  awayGapMs: 15,
  awayRetryFirstMs: 50,
  awayRetryMostMs: 5000,
  /** Attempts of one call whose connection is lost under way. */
  callAttemptsMax: 4,
  /** Connections of a client for payloads, besides the one for small calls. */
  bulkConnectionsMax: 4,
  /** Memory for payloads that a client keeps for the next load. */
  receiveKeptBytes: 128 * mib,
  /** How long a connection that was refused may stay, to read why. */
  lingerMs: 1000,
  /** The longest deadline of a call that a daemon keeps. */
  servedDeadlineMsMax: 3_600_000,

  /** Threads for compression and bulk copies. Two keep up with a loopback bucket. */
  workersMax: 2,
  /**
   * Raw stored bytes up to this many are checked on the main thread, more with native code: handing
   * them to a worker takes 0.3 ms of CPU time, and their checksum 0.02 to 0.5 ms (docs/decisions/0018).
   */
  checkedInPlaceBytesMax: 256 * kib,
  checkedInPlaceNativeBytesMax: 4 * mib,
  /** Payloads up to here are decoded on the main thread while no worker is there yet (docs/decisions/0121). */
  decodedInPlaceBytesMax: 4 * mib,
  /** Payloads up to here are encoded together by one worker, so many at most (docs/decisions/0096). */
  shortEncodeBytesMax: 16 * kib,
  shortEncodesTogetherMax: 16,
  /**
   * Longer payloads, up to here, are encoded into memory that is used again, of which so much is kept (docs/decisions/0117):
   * what the uploads in flight have of blocks of 4 MiB.
   */
  encodedInPlaceBytesMax: 16 * mib,
  encodedKeptBytes: 16 * mib,
  /** Tasks queued for them. */
  workerTasksMax: 1024,
  /**
   * A process that uses less of a processor than that, from one look to the next, has come to rest
   * (docs/decisions/0119). Collecting its garbage takes about 50 ms of all threads together.
   */
  idleLookMs: 5000,
  idleProcessorMs: 150,
  /**
   * Compression on the wire (docs/decisions/0102). Shorter payloads gain less than a message to a worker takes; longer
   * ones would take too much memory twice. Payloads that are compressed ahead of the one that is due.
   */
  wireCompressBytesMin: 16 * kib,
  wireCompressBytesMax: 16 * mib,
  wireAheadMax: 4,
  /** Shorter transfers say little of a link: what the system buffers is about as much. */
  wireMeasureBytesMin: mib,
  /** Transfers that a speed is the median of. */
  wireSamplesMax: 3,
  /**
   * Bytes a second that one thread takes to compress a payload and another to decompress it, one after the other, and
   * the slower of the two alone, halved because both hosts have other work.
   */
  wireThroughBytesPerSecond: 300_000_000,
  wireStageBytesPerSecond: 250_000_000,
  /** Compressed transfers before one goes raw, to measure the link; raw ones after compression was slower. */
  wireMeasureEvery: 16,
  wirePauseFirst: 16,
  wirePauseMost: 256,
  /** Wait for one task of a worker before it counts as lost. */
  workerTaskMs: 60_000,
} as const;
