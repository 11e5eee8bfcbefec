import { workerData } from 'node:worker_threads';

/** When a child is killed: so long after it began the phase for the so-many-eth time. */
export interface Instant {
  readonly phases: number;
  readonly ms: number;
}

/** What a child gives the thread that kills it. */
export interface KillOrder {
  /** The first is set, and notified, when the instant's phase begins; the second never is. */
  readonly cells: Int32Array;
  readonly ms: number;
}

const { cells, ms } = workerData as KillOrder;

// The signal comes from a thread of the process itself, because one from outside takes longer to
// arrive than a commit takes. It ends all threads at once, wherever they are, as any SIGKILL does.
Atomics.wait(cells, 0, 0);
if (ms > 0) Atomics.wait(cells, 1, 0, ms);
process.kill(process.pid, 'SIGKILL');
