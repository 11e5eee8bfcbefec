/** Bounds of an HTTP client, each with its reason. */
export interface HttpClientLimits {
  /** Connections at once, and how many of them whole batches may hold: small calls pass by. */
  readonly connectionsMax: number;
  readonly bulkConnectionsMax: number;
  /** Calls that wait for a connection; one more gets `BUSY`. */
  readonly waitingMax: number;
  /** Time for a connection to stand. */
  readonly connectMs: number;
  /** A call other than flush, at most, whatever its own deadline. */
  readonly callMs: number;
  readonly flushMs: number;
  /** An answer that was made by the deadline still has to travel. */
  readonly graceMs: number;
  /** How long a call waits for a server that is gone, once that is known. */
  readonly recoverMs: number;
  /** And how much longer for one that takes connections again, and does not answer yet. */
  readonly reachedMs: number;
  /** Pause between two attempts to reach it: first, and at most; shorter than the wait above. */
  readonly retryFirstMs: number;
  readonly retryMostMs: number;
  /** An idle connection older than this is not used: servers close theirs after a while. */
  readonly idleMs: number;
  /** Bytes of a JSON answer. */
  readonly jsonBytesMax: number;
  /** Bytes that one load may bring. */
  readonly answerBytesMax: number;
  /** Bytes of memory kept for the next loads. */
  readonly pooledBytesMax: number;
  /** A longer save goes in several requests, from its last blocks to its first. */
  readonly saveBytesMax: number;
  /** Below this many bytes asking what is stored costs more than sending it. */
  readonly askBytesMin: number;
}

const kib = 1024;
const mib = 1024 * kib;

export const httpClientLimits: HttpClientLimits = {
  connectionsMax: 8,
  bulkConnectionsMax: 6,
  waitingMax: 1024,
  connectMs: 2000,
  callMs: 30_000,
  flushMs: 60_000,
  graceMs: 250,
  recoverMs: 40,
  reachedMs: 250,
  retryFirstMs: 5,
  retryMostMs: 20,
  idleMs: 30_000,
  jsonBytesMax: 8 * mib,
  answerBytesMax: 4096 * mib,
  pooledBytesMax: 128 * mib,
  saveBytesMax: 256 * mib,
  askBytesMin: 64 * kib,
};
