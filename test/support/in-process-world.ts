import { rm } from 'node:fs/promises';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { newSharedDirectory } from '../../src/cache/shared-directories.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { WorkerPool } from '../../src/platform/worker-pool.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { borrowed, WorkerTranscoder } from '../../src/store/transcoder.ts';
import type { Transcoder } from '../../src/store/transcoder.ts';
import type { KvStoreHarness, World, WorldStoreOptions } from '../conformance/kv-store-harness.ts';
import { killablePlatform } from './killable-platform.ts';
import type { KillablePlatform } from './killable-platform.ts';
import { patience } from './patience.ts';
import { BucketSwitch, switchedBucket } from './switched-bucket.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

/** Opens the bucket of a world; `directory` is an empty one of its own. */
export type BucketOpener = (directory: string) => ObjectStore;

/**
 * Worlds whose stores run in this process: the real store over the real file system. With `sharesMemory` they
 * accept in shared memory, as those of daemons do.
 */
export function inProcessHarness(
  openBucket: BucketOpener,
  sharesMemory = false,
): KvStoreHarness & {
  close(): Promise<void>;
} {
  const transcoder = new WorkerTranscoder(
    new WorkerPool({
      module: new URL('../../src/store/transcode-worker.js', import.meta.url),
      workersMax: 2,
      tasksMax: limits.workerTasksMax,
      taskMs: limits.workerTaskMs,
    }),
    2,
  );
  return {
    concurrency: 4,
    createWorld: async () => {
      const directory = await makeTemporaryDirectory('world');
      const bucket = openBucket(`${directory.path}/bucket`);
      return new InProcessWorld({ directory, bucket, transcoder, sharesMemory });
    },
    close: () => transcoder.close(),
  };
}

class InProcessWorld implements World {
  readonly bucket: ObjectStore;
  readonly faults = new BucketSwitch();
  readonly #directory: TemporaryDirectory;
  /** Shared by all worlds: starting threads for each store would be most of the suite's time. */
  readonly #transcoder: Transcoder;
  readonly #sharesMemory: boolean;
  readonly #open = new Map<KvStore, KillablePlatform>();

  constructor(parts: {
    readonly directory: TemporaryDirectory;
    readonly bucket: ObjectStore;
    readonly transcoder: Transcoder;
    readonly sharesMemory: boolean;
  }) {
    this.#directory = parts.directory;
    this.bucket = parts.bucket;
    this.#transcoder = parts.transcoder;
    this.#sharesMemory = parts.sharesMemory;
  }

  async open(host: string, options: WorldStoreOptions = {}): Promise<KvStore> {
    const { backlogBytes, sharedDirectory: given, clock, ...rest } = options;
    const node = nodePlatform();
    const process = killablePlatform(clock === undefined ? node : { ...node, clock });
    const isShared = given !== undefined || this.#sharesMemory;
    const platform = isShared ? this.#sharing(process.platform) : process.platform;
    const sharedDirectory = this.#sharesMemory ? await newSharedDirectory(platform) : given;
    const config = {
      objectStore: 'memory:',
      objectStoreBytesMax: false as const,
      ...patience,
      cacheDirectory: options.diskBytes === 0 ? (false as const) : this.#hostDirectory(host),
      ...rest,
    };
    const settings = {
      ...resolveStoreConfig(config, process.platform.host),
      backlogBytesMax: backlogBytes,
      sharedDirectory,
    };
    const transcoder = borrowed(this.#transcoder);
    const objects = switchedBucket(this.bucket, this.faults, process.gate);
    const foundation = { platform, logger: silentLogger, objects, transcoder };
    const store = await assembleStore({ ...foundation, settings });
    this.#open.set(store, process);
    return store;
  }

  async crash(store: KvStore): Promise<void> {
    await this.#open.get(store)?.kill();
    this.#open.delete(store);
  }

  wipe(host: string): Promise<void> {
    return rm(this.#hostDirectory(host), { recursive: true, force: true });
  }

  async dispose(): Promise<void> {
    await this.faults.setMode('none');
    for (const store of [...this.#open.keys()]) await this.crash(store);
    await this.bucket.close();
    await this.#directory.remove();
  }

  #sharing(platform: Platform): Platform {
    const native = withNative(platform, 'auto');
    const host = { ...native.host, memoryDirectory: `${this.#directory.path}/memory` };
    // Its locks would outlive a crash, for this process lives on.
    return { ...native, host, locks: undefined };
  }

  #hostDirectory(host: string): string {
    return `${this.#directory.path}/${host}`;
  }
}
