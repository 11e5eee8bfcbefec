import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import { withoutNative } from '../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import { deferred } from './base/deferred.ts';
import { sharedPaths } from './cache/shared-layout.ts';
import { resolveStoreConfig } from './config/store-config.ts';
import { openServedStore } from './open-store.ts';
import { nodePlatform } from './platform/node-platform.ts';

const memoryBytes = 64 * 1024 * 1024;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const skip = withoutNative();
it(
  'a store takes no memory ahead of need while somebody waits for it to be ready',
  { skip },
  async () => {
    const temporary = await makeTemporaryDirectory('beginnings');
    const platform = nodePlatform();
    const own = { objectStore: 'memory:', cacheDirectory: false, memoryBytes } as const;
    const sharedDirectory = `${temporary.path}/memory`;
    const ready = deferred<void>();
    const store = await openServedStore(resolveStoreConfig(own, platform.host), platform, {
      ...{ drainMs: 0, sharedDirectory },
      begin: { ready: ready.promise, rest: new Promise(() => undefined) },
    });
    try {
      const segment = sharedPaths.segment(sharedDirectory, 0);
      for (let turns = 0; turns < 20; turns += 1) await turn();
      assert.equal(existsSync(segment), false);
      ready.resolve();
      await turn();
      assert.equal(existsSync(segment), true, 'the first calls need it, long before the rest');
    } finally {
      await store.close();
      await temporary.remove();
    }
  },
);
