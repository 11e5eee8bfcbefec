import { crc32c } from '../base/crc32c.ts';
import { serveTasks } from './worker-pool.ts';

/** The program of a thread of `ThreadChecksums`. */
serveTasks<readonly Uint8Array[], readonly number[]>((payloads) =>
  payloads.map((bytes) => crc32c(bytes)),
);
