import { crc32c } from './base/crc32c.ts';
import { silentLogger } from './base/logger.ts';
import type { Logger } from './base/logger.ts';
import type { KvStore } from './blocks/kv-store.ts';
import { limits } from './blocks/limits.ts';
import type { ServedStore } from './blocks/served-store.ts';
import { readToken } from './client/token.ts';
import { socketPathOf } from './blocks/socket-path.ts';
import { doorsFromEnvironment, runtimeDirectoryOf } from './config/door-settings.ts';
import type { DoorConfig } from './config/door-settings.ts';
import { configFromEnvironment as resolveEnvironment } from './config/environment.ts';
import { resolveStoreConfig } from './config/store-config.ts';
import type { ResolvedStoreConfig, StoreConfig } from './config/store-config.ts';
import type { ObjectStore } from './objectstore/object-store.ts';
import { RequestLedger } from './objectstore/request-ledger.ts';
import { openBucket } from './open-bucket.ts';
import { nativeCodeInUse, withNative } from './platform/native.ts';
import { nodePlatform } from './platform/node-platform.ts';
import type { Platform } from './platform/platform.ts';
import { collectGarbage, processorMs } from './platform/process-memory.ts';
import { WorkerPool } from './platform/worker-pool.ts';
import { assembleStore } from './store/assemble-store.ts';
import type { BackgroundTask } from './store/background-task.ts';
import { IdleMemory } from './store/idle-memory.ts';
import { beginAfter } from './store/later-task.ts';
import type { Beginnings } from './store/later-task.ts';
import { Rehearsal } from './store/rehearsal.ts';
import { WorkerTranscoder } from './store/transcoder.ts';

/** What a program may pass besides the configuration. */
export interface OpenOptions {
  /** Where events go; nowhere when absent. */
  readonly logger?: Logger | undefined;
}

/**
 * Opens a store in this process. Fields left out have the defaults of docs/CONFIG.md: objects below
 * `~/.wombatkv/objects`, a cache of 1 GiB in memory and 8 GiB on disk. Several processes may open
 * the same directories at once. Opening asks nothing of the object store.
 *
 * @throws TypeError or RangeError naming a field of the configuration that is wrong; StoreError
 * `INVALID` for a setting, `UNAVAILABLE` when the cache directory cannot be used.
 *
 * @example
 * ```ts
 * const store = await openStore({ objectStore: 'memory:', cacheDirectory: false });
 * const keys = [parseBlockKey('00'.repeat(32))];
 * await store.save([{ key: keys[0], payload: new Uint8Array([1, 2, 3]) }]);
 * const borrow = await store.load(keys);
 * borrow.blocks.length; // 1
 * borrow.release();
 * await store.close();
 * ```
 */
export async function openStore(
  config: StoreConfig = {},
  options: OpenOptions = {},
): Promise<KvStore> {
  const platform = nodePlatform();
  return openResolved(resolveStoreConfig(config, platform.host), platform, options);
}

/**
 * Opens what the variables of the environment name (docs/CONFIG.md): the daemon of
 * `WMBT_KV_REMOTE_PREFIX` on this host, else the one at `WMBT_KV_TCP_ADDR`, else over HTTP the
 * one at `WMBT_KV_HTTP_ADDR`, else a store in this process.
 *
 * @throws StoreError `INVALID` naming a variable that is wrong; `UNAVAILABLE` when the daemon is not
 * reached; else as {@link openStore}.
 */
export async function openFromEnvironment(options: OpenOptions = {}): Promise<KvStore> {
  const platform = nodePlatform();
  const config = configFromEnvironment(options);
  const doors = doorsFromEnvironment(platform.environment, platform.host.homeDirectory);
  const url = await daemonUrl(doors, platform);
  if (url === undefined) return openResolved(config, platform, options);
  const { nearCacheBytes, wireCompression } = doors;
  const credentials = await credentialsOf(doors, platform);
  // What a client is made of is loaded for one alone: a store of this process needs none of it.
  const { connect } = await import('./client/connect.ts');
  return connect(url, { ...config, ...credentials, nearCacheBytes, wireCompression });
}

/** What a client of a daemon shows and trusts, by the variables of the environment. */
export async function credentialsOf(
  { tokenFile, tlsCaFile }: DoorConfig,
  { files }: Platform,
): Promise<{ readonly token: string | undefined; readonly tlsCaFile: string | undefined }> {
  const token = tokenFile === undefined ? undefined : await readToken(files, tokenFile);
  return { token, tlsCaFile };
}

/** The daemon that the variables of the environment name; undefined for a store in this process. */
export async function daemonUrl(
  doors: DoorConfig,
  platform: Platform,
): Promise<string | undefined> {
  const { remotePrefix, tcpAddress, httpAddress, tlsCaFile } = doors;
  if (remotePrefix !== undefined) {
    return `shm:${socketPathOf(await runtimeDirectoryOf(doors, platform), remotePrefix)}`;
  }
  const schemes = tlsCaFile === undefined ? { tcp: 'tcp', http: 'http' } : secureSchemes;
  if (tcpAddress !== undefined) return withScheme(schemes.tcp, tcpAddress);
  return httpAddress === undefined ? undefined : withScheme(schemes.http, httpAddress);
}

/** Whoever names certificates to trust wants to be sure of whom he talks to. */
const secureSchemes = { tcp: 'tls', http: 'https' } as const;

function withScheme(scheme: string, address: string): string {
  return address.includes('://') ? address : `${scheme}://${address}`;
}

/** What a daemon asks of its store beyond what a program does. */
export interface ServedStoreOptions extends OpenOptions {
  /** Time that uploads get when it is closed. */
  readonly drainMs: number;
  /** Ends that time early. */
  readonly drainSignal?: AbortSignal | undefined;
  /** When begins what only makes calls faster; at once when absent. */
  readonly begin?: Beginnings | undefined;
  /** Put around the object store. */
  readonly wrapObjects?: ((objects: ObjectStore) => ObjectStore) | undefined;
  /** Where its memory lies for clients on this host; nowhere when absent. */
  readonly sharedDirectory?: string | undefined;
  /** The process does nothing else, and gives memory back to the system when it has come to rest. */
  readonly hasProcess?: boolean | undefined;
}

/** Opens the store of a daemon. */
export function openServedStore(
  config: ResolvedStoreConfig,
  platform: Platform,
  options: ServedStoreOptions,
): Promise<ServedStore> {
  return openResolved(config, platform, options);
}

/**
 * The configuration that the variables of the environment give, with every default filled in. Lines
 * about names without effect go to the logger.
 */
export function configFromEnvironment(options: OpenOptions = {}): ResolvedStoreConfig {
  const { environment, host } = nodePlatform();
  const logger = options.logger ?? silentLogger;
  const report = (line: string): void => logger.info('settings', { line });
  return resolveEnvironment(environment, host, { mode: 'library', report });
}

async function openResolved(
  config: ResolvedStoreConfig,
  plainPlatform: Platform,
  options: Partial<ServedStoreOptions>,
): Promise<ServedStore> {
  const platform = withNative(plainPlatform, config.native);
  const workers = Math.min(limits.workersMax, platform.host.processors);
  const ledger = new RequestLedger();
  const bucket = await openBucket(config, platform, ledger);
  const objects = options.wrapObjects?.(bucket) ?? bucket;
  const pool = new WorkerPool({
    module: workerModule(config),
    workersMax: workers,
    tasksMax: limits.workerTasksMax,
    taskMs: limits.workerTaskMs,
  });
  const transcoder = new WorkerTranscoder(pool, workers);
  const logger = options.logger ?? silentLogger;
  const prefaultBytes = Math.min(limits.prefaultBytes, config.memoryBytes / 4);
  // A bucket in memory ends with the process: a cache that outlives it would remember what is gone.
  const cacheDirectory = config.objectStore.startsWith('memory:') ? false : config.cacheDirectory;
  const { drainMs, drainSignal, sharedDirectory, begin } = options;
  const drain = { drainMs, drainSignal };
  const settings = { ...config, ...drain, cacheDirectory, prefaultBytes, sharedDirectory };
  const rehearsal = beginAfter(begin?.rest, () => {
    transcoder.warmUp();
    // Loads the native code now: the first read from disk would wait 4 ms for it.
    crc32c(new Uint8Array(4096));
    return new Rehearsal(platform, transcoder, logger);
  });
  const background: BackgroundTask[] = [rehearsal];
  if (options.hasProcess === true) background.push(idleMemory(platform, transcoder));
  try {
    return await assembleStore({
      ...{ platform, logger, objects, ledger, transcoder, settings, background, begin },
    });
  } catch (error) {
    for (const task of background) await task.stop();
    await transcoder.close();
    await objects.close();
    throw error;
  }
}

function idleMemory({ clock }: Platform, transcoder: WorkerTranscoder): IdleMemory {
  return new IdleMemory({
    ...{ clock, processorMs, trim: () => nativeCodeInUse()?.trimHeap() },
    collect: () => {
      transcoder.rest();
      collectGarbage();
    },
  });
}

/** The program of the worker threads, which are told whether to use native code. */
function workerModule({ native }: ResolvedStoreConfig): URL {
  const module = new URL('./store/transcode-worker.js', import.meta.url);
  module.searchParams.set('native', native);
  return module;
}
