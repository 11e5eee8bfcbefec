import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { FullDisk } from '../support/full-disk.ts';
import { ProcessGate } from '../support/process-gate.ts';
import { rawTranscoder } from '../support/raw-transcoder.ts';
import { RingClient } from '../support/ring-client.ts';
import { BucketSwitch, switchedBucket } from '../support/switched-bucket.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';

const mib = 1024 * 1024;

test(
  'saves in a ring stay there while the store refuses them, and are taken when it does not',
  { skip: withoutNative() },
  async () => {
    const temporary = await makeTemporaryDirectory('refused-rings');
    try {
      await refuseAndTake(temporary.path);
    } finally {
      await temporary.remove();
    }
  },
);

async function refuseAndTake(home: string): Promise<void> {
  const disk = new FullDisk(nodePlatform().files);
  const native = withNative(nodePlatform(), 'auto');
  const host = { ...native.host, memoryDirectory: home };
  const platform = { ...native, host, files: disk.files, locks: undefined };
  const config = {
    objectStore: 'memory:',
    objectStoreBytesMax: false as const,
    memoryBytes: 64 * mib,
  };
  const cacheDirectory = join(home, 'cache');
  const sharedDirectory = join(home, '0000');
  const bucket = new BucketSwitch();
  // What is uploaded is not held any more.
  await bucket.setMode('refuse-puts');
  const objects = switchedBucket(new MemoryObjectStore(platform.clock), bucket, new ProcessGate());
  const store = await assembleStore({
    ...{ platform, logger: silentLogger, objects },
    transcoder: rawTranscoder,
    settings: { ...resolveStoreConfig({ ...config, cacheDirectory }, host), sharedDirectory },
  });
  const ring = await store.openRing();
  assert(ring !== undefined);
  const client = new RingClient(join(sharedDirectory, `ring-${ring.number}`));
  // The half of memory in which saves are accepted fills up, for the log takes nothing.
  disk.freeBytes = 0;
  for (const length of [4 * mib, 400_000]) {
    const isAccepted = (index: number): Promise<boolean> =>
      store.save(chainOf(`filling ${length} ${index}`, 1, length).blocks).then(
        () => true,
        () => false,
      );
    let saved = 0;
    while (await isAccepted(saved)) saved += 1;
    assert(saved >= 4, `${saved} saves of ${length} bytes were accepted`);
  }
  const chain = chainOf('refused', 1, 1_500_000);
  client.leave(chain.blocks);
  const { matched } = await store.lookup(chain.keys);
  assert.equal(matched, 0);
  assert.notEqual(client.word('tail'), client.word('head'));
  disk.freeBytes = Number.POSITIVE_INFINITY;
  await bucket.setMode('none');
  await eventually('it is taken', () =>
    Promise.resolve(client.word('tail') === client.word('head')),
  );
  const borrow = await store.load(chain.keys);
  assert(Buffer.from(chain.blocks[0].payload).equals(borrow.blocks[0].payload));
  borrow.release();
  await store.close();
}
