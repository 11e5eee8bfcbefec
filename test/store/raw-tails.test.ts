import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { HeldBucket } from '../support/held-bucket.ts';
import { inProcessHarness } from '../support/in-process-world.ts';
import { randomPayload } from '../support/payloads.ts';
import { ManualClock } from '../support/manual-clock.ts';
import type { World, WorldStoreOptions } from '../conformance/kv-store-harness.ts';
import { assertRawTail, onFreshHost, readRawTail } from '../conformance/kv-store-steps.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { DirectoryObjectStore } from '../../src/objectstore/directory-object-store.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

const tip = parseBlockKey('7a'.repeat(32));
const version = (name: string, byteLength = 3000): Uint8Array => randomPayload(name, byteLength);
const [first, second, third] = ['first', 'second', 'third'].map((name) => version(name));

function abortable(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

/**
 * Goal: nobody sees an old raw tail behind a newer one, and none overwrites a newer one. Method: real stores over a
 * directory, in the log or in shared memory, whose calls of the bucket are held on their way while something happens.
 */
for (const sharesMemory of [false, true]) {
  const name = `raw tails, accepted in ${sharesMemory ? 'shared memory' : 'the log'}`;
  const skip = sharesMemory ? withoutNative() : false;
  describe(name, { skip }, () => {
    let bucket: HeldBucket;
    let harness: ReturnType<typeof inProcessHarness>;
    let world: World;
    let clock: ManualClock;
    let store: KvStore;

    const open = (host: string, options: WorldStoreOptions = {}): Promise<KvStore> =>
      world.open(host, { clock, ...options });
    const saveDurably = async (by: KvStore, payload: Uint8Array): Promise<void> => {
      await by.saveRawTail(tip, payload, { durable: true });
    };
    const grow = (): void => clock.advance(limits.rawTailFreshMs + 1);

    beforeEach(async () => {
      const platform = withNative(nodePlatform(), 'auto');
      harness = inProcessHarness((directory) => {
        bucket = new HeldBucket(new DirectoryObjectStore(platform, directory));
        return bucket;
      }, sharesMemory);
      world = await harness.createWorld();
      clock = new ManualClock();
      store = await open('host');
    });
    afterEach(async () => {
      await world.dispose();
      await harness.close();
    });

    it('are not replaced here by what a load brings that began before they were saved', async () => {
      await onFreshHost(world, 'other', (other) => saveDurably(other, first));
      const get = bucket.hold('get', 'answer');
      const early = readRawTail(store, tip);
      await get.held;
      await saveDurably(store, second);
      get.release();
      await early;
      await assertRawTail(store, tip, second);
      await world.faults.setMode('unavailable');
      grow();
      await assertRawTail(store, tip, second);
    });

    it('are not shadowed in a store without a disk tier by what was fetched there before', async () => {
      await onFreshHost(world, 'other', (other) => saveDurably(other, first));
      const bare = await open('bare', { diskBytes: 0 });
      await assertRawTail(bare, tip, first);
      await bare.saveRawTail(tip, second);
      await assertRawTail(bare, tip, second);
    });

    it('are not given in a store without a disk tier by a load that began before they were saved', async () => {
      await onFreshHost(world, 'other', (other) => saveDurably(other, first));
      const bare = await open('bare', { diskBytes: 0 });
      const get = bucket.hold('get', 'answer');
      const early = readRawTail(bare, tip);
      await get.held;
      await bare.saveRawTail(tip, second);
      const late = readRawTail(bare, tip);
      get.release();
      await early;
      assert.deepEqual(await late, second);
      await assertRawTail(bare, tip, second);
    });

    it('are written in their order by a store without a disk tier, though a save before is given up', async () => {
      const bare = await open('bare', { diskBytes: 0 });
      const put = bucket.hold('put', 'before');
      const { signal, abort } = abortable();
      const given = bare.saveRawTail(tip, first, { signal });
      await put.held;
      abort();
      await assert.rejects(given, (error) => isStoreError(error, 'ABORTED'));
      const saving = bare.saveRawTail(tip, second);
      put.release();
      await saving;
      await assertRawTail(bare, tip, second);
      await onFreshHost(world, 'other', (other) => assertRawTail(other, tip, second));
    });

    it('are revalidated though their copy was compared with another object before', async () => {
      await saveDurably(store, first);
      grow();
      const looks = [bucket.hold('head', 'before'), bucket.hold('get', 'before')];
      const early = readRawTail(store, tip);
      await Promise.race(looks.map(({ held }) => held));
      await saveDurably(store, second);
      await onFreshHost(world, 'other', (other) => saveDurably(other, third));
      for (const look of looks) look.release();
      await early;
      grow();
      await assertRawTail(store, tip, third);
    });

    it('are not brought back when they are deleted, by an older one on its way to the bucket', async () => {
      const put = bucket.hold('put', 'before');
      await store.saveRawTail(tip, first);
      await put.held;
      await store.saveRawTail(tip, second);
      const deleting = store.delete({ kind: 'namespace' });
      put.release();
      await deleting;
      await store.flush();
      await onFreshHost(world, 'other', async (other) =>
        assert.equal(await readRawTail(other, tip), undefined),
      );
      assert.equal(await readRawTail(store, tip), undefined);
    });

    it('are not brought back when they are deleted, by a load that began before', async () => {
      await onFreshHost(world, 'other', (other) => saveDurably(other, first));
      const get = bucket.hold('get', 'answer');
      const early = readRawTail(store, tip);
      await get.held;
      await store.delete({ kind: 'namespace' });
      get.release();
      await early;
      assert.equal(await readRawTail(store, tip), undefined);
    });

    it('are durable only when they, or those that replaced them, are in the bucket', async () => {
      await onFreshHost(world, 'other', (other) => saveDurably(other, first));
      const puts = [bucket.hold('put', 'before'), bucket.hold('put', 'before')];
      await store.saveRawTail(tip, version('under way'));
      await puts[0].held;
      const durable = store.saveRawTail(tip, second, { durable: true });
      // It is in the log before the next one is accepted.
      while ((await store.stats()).pending < 2) await clock.yield();
      await store.saveRawTail(tip, third);
      puts[0].release();
      const earliest = await Promise.race([
        durable.then(() => 'durable'),
        puts[1].held.then(() => 'held'),
      ]);
      assert.equal(earliest, 'held');
      puts[1].release();
      await durable;
      await onFreshHost(world, 'other', (other) => assertRawTail(other, tip, third));
    });

    it('that another host put in the place of a corrupt one are found', async () => {
      await saveDurably(store, first);
      const [object] = (await world.bucket.list('')).objects;
      await world.bucket.put(object.key, [version('garbage', object.byteLength)]);
      grow();
      assert.equal(await readRawTail(store, tip), undefined);
      assert.equal((await store.stats()).corrupt, 1);
      grow();
      assert.equal(await readRawTail(store, tip), undefined);
      assert.equal((await store.stats()).corrupt, 1, 'its bytes are not looked at again');
      await onFreshHost(world, 'other', (other) => saveDurably(other, second));
      grow();
      await assertRawTail(store, tip, second);
    });

    it('that this host saved are revalidated by one request that brings no bytes', async () => {
      await saveDurably(store, first);
      const { get, head } = bucket.calls;
      const before = { get, head, readBytes: bucket.readBytes };
      for (let round = 1; round <= 3; round += 1) {
        grow();
        await assertRawTail(store, tip, first);
        await assertRawTail(store, tip, first);
      }
      const asked = { get: bucket.calls.get - before.get, head: bucket.calls.head - before.head };
      assert.deepEqual(asked, { get: 3, head: 0 });
      assert.equal(bucket.readBytes, before.readBytes);
    });

    it('that were fetched are revalidated so too, and brought by that request when they were replaced', async () => {
      await onFreshHost(world, 'other', (other) => saveDurably(other, first));
      await assertRawTail(store, tip, first);
      const { get, head } = bucket.calls;
      const before = bucket.readBytes;
      await assertRawTail(store, tip, first);
      assert.equal(bucket.calls.get, get, 'it was the newest a moment ago');
      grow();
      await assertRawTail(store, tip, first);
      assert.deepEqual([bucket.calls.get - get, bucket.readBytes - before], [1, 0]);
      await onFreshHost(world, 'other', (other) => saveDurably(other, second));
      const { get: later } = bucket.calls;
      grow();
      await assertRawTail(store, tip, second);
      assert.deepEqual([bucket.calls.get - later, bucket.calls.head - head], [1, 0]);
    });

    it('that lie on disk when the next process begins are revalidated so too', async () => {
      await saveDurably(store, first);
      await store.close();
      store = await open('host');
      const { get, head } = bucket.calls;
      const before = bucket.readBytes;
      await assertRawTail(store, tip, first);
      assert.deepEqual([bucket.calls.get - get, bucket.calls.head - head], [1, 0]);
      assert.equal(bucket.readBytes, before);
      await store.close();
      await onFreshHost(world, 'other', (other) => saveDurably(other, second));
      // What is fetched is written to disk as the store closes.
      store = await open('host');
      await assertRawTail(store, tip, second);
      await store.close();
      store = await open('host');
      const fetched = bucket.readBytes;
      await assertRawTail(store, tip, second);
      assert.equal(bucket.readBytes, fetched);
      await store.close();
      await onFreshHost(world, 'other', (other) => saveDurably(other, third));
      store = await open('host');
      await assertRawTail(store, tip, third);
    });

    // A long payload is copied into shared memory in turns, a short one at once.
    it('that are saved at once show in the order in which the next process finds them', async () => {
      await world.faults.setMode('unavailable');
      const long = version('long', limits.turnBytesMax * 2);
      const tips = ['1a', '2a', '3a', '4a'].map((byte) => parseBlockKey(byte.repeat(32)));
      for (const [turns, one] of tips.entries()) {
        const saving = store.saveRawTail(one, long);
        for (let turn = 0; turn < turns; turn += 1) await clock.yield();
        await Promise.all([saving, store.saveRawTail(one, second)]);
      }
      const shown = await Promise.all(tips.map((one) => readRawTail(store, one)));
      await world.crash(store);
      store = await open('host');
      const found = await Promise.all(tips.map((one) => readRawTail(store, one)));
      const lengths = (all: typeof found): unknown => all.map((bytes) => bytes?.length);
      assert.deepEqual(lengths(found), lengths(shown));
    });
  });
}
