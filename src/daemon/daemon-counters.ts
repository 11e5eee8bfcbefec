/** Payloads that travelled compressed, in one direction. */
export class CompressedTraffic {
  payloads = 0;
  rawBytes = 0;
  wireBytes = 0;

  add(rawBytes: number, wireBytes: number): void {
    this.payloads += 1;
    this.rawBytes += rawBytes;
    this.wireBytes += wireBytes;
  }
}

/** What a daemon counts of its doors. */
export class DaemonCounters {
  connections = 0;
  connectionsTaken = 0;
  connectionsRefused = 0;
  /** Connections ended because of what came over them: no frame, a checksum, a limit, a stall. */
  connectionsBroken = 0;
  calls = 0;
  callsRefused = 0;
  /** Calls that the client's token does not permit. */
  callsDenied = 0;
  callsCancelled = 0;
  /** Times that the system had no memory for what came over a door. */
  memoryRefused = 0;
  /** Over frames and HTTP, seen from the daemon. */
  readonly compressed = { sent: new CompressedTraffic(), received: new CompressedTraffic() };
}
