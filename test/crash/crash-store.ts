import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
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
export function openCrashStore(
  config: StoreConfig,
  platform: Platform = nodePlatform(),
): Promise<KvStore> {
  const settings = resolveStoreConfig(config, platform.host);
  const objects = openObjectStore(settings.objectStore, platform);
  const transcoder = rawTranscoder;
  return assembleStore({ platform, logger: silentLogger, objects, transcoder, settings });
}

/** Opens the store, uses it, and closes it. */
export async function withStore(
  config: StoreConfig,
  use: (store: KvStore) => Promise<void>,
): Promise<void> {
  const store = await openCrashStore(config);
  try {
    await use(store);
  } finally {
    await store.close();
  }
}
