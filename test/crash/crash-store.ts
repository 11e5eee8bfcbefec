import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { newSharedDirectory } from '../../src/cache/shared-directories.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { rawTranscoder } from '../support/raw-transcoder.ts';

const mib = 1024 * 1024;

/** A store below the directory `place`. */
export function configOf(place: string, diskBytes: number): StoreConfig {
  return {
    objectStore: `file://${place}/objects`,
    objectStoreBytesMax: false,
    cacheDirectory: `${place}/cache`,
    memoryBytes: 8 * mib,
    diskBytes,
    compression: 'off',
  };
}

/**
 * Opens the real store on real files, as `openStore` does, but without threads for the codec: each
 * takes 70 ms of a processor to start, which hundreds of processes would pay.
 */
export async function openCrashStore(
  config: StoreConfig,
  platform: Platform = nodePlatform(),
): Promise<KvStore> {
  const { sharedMemory } = platform;
  const sharedDirectory = sharedMemory && (await newSharedDirectory(platform));
  const settings = { ...resolveStoreConfig(config, platform.host), sharedDirectory };
  const objects = openObjectStore(settings.objectStore, platform);
  const transcoder = rawTranscoder;
  return assembleStore({ platform, logger: silentLogger, objects, transcoder, settings });
}

/** The platform with native code, and a directory for a file system in memory: its stores accept there. */
export function sharingPlatform(platform: Platform, memoryDirectory: string): Platform {
  const native = withNative(platform, 'auto');
  return { ...native, host: { ...native.host, memoryDirectory } };
}

/** Opens the store, uses it, and closes it. */
export async function withStore(
  config: StoreConfig,
  use: (store: KvStore) => Promise<void>,
  platform?: Platform,
): Promise<void> {
  const store = await openCrashStore(config, platform);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}
