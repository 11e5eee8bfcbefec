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
}
