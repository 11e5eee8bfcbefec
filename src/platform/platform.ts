import type { Clock } from './clock.ts';
import type { CloudCredentials } from './cloud-credentials.ts';
import type { Endpoints } from './endpoints.ts';
import type { FileLocks } from './file-locks.ts';
import type { Files } from './files.ts';
import type { Http } from './http.ts';
import type { PayloadMemory } from './payload-memory.ts';
import type { Random } from './random.ts';
import type { SharedMemory } from './shared-memory.ts';

/**
 * The only door to the world outside the process. Everything above this folder reaches time,
 * randomness, files, sockets and HTTP through the object it was given, so that the same store runs on
 * Node and on a simulated machine.
 */
export interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly memory: PayloadMemory;
  readonly files: Files;
  /** Absent without native code (`withNative` adds it). */
  readonly locks?: FileLocks | undefined;
  readonly sharedMemory?: SharedMemory | undefined;
  readonly endpoints: Endpoints;
  readonly http: Http;
  readonly cloudCredentials: CloudCredentials;
  /** This process, this machine, and this boot of it. */
  readonly host: Host;
  /** The variables of the environment, as they were when the platform was made. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Facts about the machine and the process. They do not change while the process lives. */
export interface Host {
  readonly processId: number;
  /** Changes with every boot of the machine; empty where the system does not tell. */
  readonly bootId: string;
  readonly hostName: string;
  /** The user of this process, where the system has numbers for users. */
  readonly userId?: number | undefined;
  /** The home directory of the user, absolute. */
  readonly homeDirectory: string;
  /** The directory for temporary files, absolute. */
  readonly temporaryDirectory: string;
  /** A file system in memory (`/dev/shm`), or undefined where there is none. */
  readonly memoryDirectory: string | undefined;
  /** Number of processors that this process may use, at least 1. */
  readonly processors: number;
}
