import { writeFile } from 'node:fs/promises';
import { silentLogger } from '../../src/base/logger.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import { openServedStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { doorOf, startDaemon } from './daemon-world.ts';

/** A daemon in this process that shares its memory with clients of its Unix socket. */
export interface SharedDaemon {
  readonly daemon: Daemon;
  /** `unix:…`; a client that says `shm:` instead reads the memory. */
  readonly url: string;
  /** Where the memory lies. */
  readonly memoryPath: string;
}

/** Its bucket, its cache and its memory lie in the directory, which outlives it. */
export async function startSharedDaemon(path: string, memoryBytes: number): Promise<SharedDaemon> {
  const platform = nodePlatform();
  const places = { objectStore: `file://${path}/objects`, cacheDirectory: `${path}/cache` };
  const config = resolveStoreConfig({ ...places, memoryBytes }, platform.host);
  const memoryPath = `${path}/memory`;
  const served = await openServedStore(config, platform, {
    ...{ logger: silentLogger, drainMs: 5000, sharedDirectory: memoryPath },
  });
  const daemon = await startDaemon(served, doorOf('shm', path, 'daemon'));
  const { url } = daemon.addresses[0];
  await writeFile(announcementOf(url.slice('unix:'.length)), memoryPath);
  return { daemon, url, memoryPath };
}
