import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';
import { putMemoryBytes } from './puts.ts';

export type Stops = (() => Promise<unknown>)[];

/** A daemon that runs, and what its clients are told. */
export interface DaemonPlace {
  readonly environment: Readonly<Record<string, string>>;
  readonly socketPath: string;
  readonly processId: number;
}

/** A daemon with 1 GiB of memory and a bucket in its own, unless told otherwise, in a folder of its name. */
export async function startDaemon(
  directory: string,
  name: string,
  stops: Stops,
  more: Readonly<Record<string, string>> = {},
): Promise<DaemonPlace> {
  const home = join(directory, name);
  mkdirSync(home);
  const runtime = join(home, 'run');
  const daemon = new DaemonProcess(['--prefix', 'bench'], {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: runtime, WMBT_KV_OBJECT_STORE: 'memory:' },
    WMBT_KV_PUFFER_DIR: join(home, 'cache'),
    ...more,
  });
  stops.push(() => daemon.stop());
  await daemon.ready();
  return {
    environment: { HOME: home, WMBT_KV_RUNTIME_DIR: runtime, WMBT_KV_REMOTE_PREFIX: 'bench' },
    socketPath: join(runtime, 'bench.sock'),
    processId: daemon.child.pid ?? 0,
  };
}

/** A bucket on the disk of the cache, and little memory, or so much. */
export function putSettings(
  directory: string,
  name: string,
  memoryBytes = putMemoryBytes,
): Readonly<Record<string, string>> {
  return {
    WMBT_KV_OBJECT_STORE: `file://${encodeURI(join(directory, `${name}-objects`))}`,
    WMBT_KV_PUFFER_RAM_BYTES: String(memoryBytes),
  };
}
