/** Bounds of the HTTP server, each with its reason. Tests and the daemon may give others. */
export interface HttpLimits {
  /** Connections at once; one more is told `503` and closed. */
  readonly connectionsMax: number;
  /** The same of one address: a host has many clients, and none may keep the other hosts out. */
  readonly connectionsPerAddressMax: number;
  /** Requests under way of one client, which is a token or else an address. */
  readonly requestsPerClientMax: number;
  /** Bytes of a JSON body: a call's most keys, spelled out. */
  readonly jsonBytesMax: number;
  /** Bytes of a bulk body: one largest payload and its head. Clients cut what is longer. */
  readonly bodyBytesMax: number;
  /** Bytes of a payload that comes in chunks, so that its length is not known before. */
  readonly chunkedBytesMax: number;
  /** Bytes of all bodies that are being received or worked on. A larger one is let in alone. */
  readonly bodiesBytesMax: number;
  /** The same of one client. */
  readonly bodiesBytesPerClientMax: number;
  /** Loads of one client that are worked on side by side. */
  readonly loadsPerClientMax: number;
  /** Bytes pinned for answers of one client, beyond which no further load begins. */
  readonly pinnedBytesPerClientMax: number;
  /** Bytes of memory kept for the next bodies. */
  readonly pooledBytesMax: number;
  /** Wait for room among those bytes; then the answer is `BUSY`. */
  readonly admissionMs: number;
  /** From the first byte of a head to its last. */
  readonly headMs: number;
  /** Time for a body at least and for a pause in it, and the rate below which its sender is too slow. */
  readonly bodyMs: number;
  readonly bodyBytesPerSecondMin: number;
  /** A connection without a request is closed after this. */
  readonly idleMs: number;
  /** Time for the peer to take one piece of an answer. */
  readonly writeMs: number;
  /** What is still read, and for how long, after an answer that came before the end of a body. */
  readonly lingerBytesMax: number;
  readonly lingerMs: number;
  /** Deadline of a call that a plain resource or an operation makes, at most. */
  readonly callMsMax: number;
}

const kib = 1024;
const mib = 1024 * kib;

export const httpLimits: HttpLimits = {
  connectionsMax: 256,
  connectionsPerAddressMax: 192,
  requestsPerClientMax: 128,
  jsonBytesMax: 8 * mib,
  bodyBytesMax: 1024 * mib + 8 * mib,
  chunkedBytesMax: 64 * mib,
  bodiesBytesMax: 512 * mib,
  bodiesBytesPerClientMax: 256 * mib,
  loadsPerClientMax: 8,
  pinnedBytesPerClientMax: 512 * mib,
  pooledBytesMax: 128 * mib,
  admissionMs: 2000,
  headMs: 10_000,
  bodyMs: 30_000,
  bodyBytesPerSecondMin: 64 * kib,
  idleMs: 60_000,
  writeMs: 30_000,
  lingerBytesMax: 4 * mib,
  lingerMs: 1000,
  callMsMax: 60_000,
};
