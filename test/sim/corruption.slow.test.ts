import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { MissReason, StoreStats, Tier } from '../../src/blocks/kv-store.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import { historyWorld } from './crash-history.ts';
import { DirectoryNode, FileNode } from './disk-nodes.ts';
import { sameBytes } from './same-bytes.ts';
import { cacheDirectory } from './sim-world.ts';
import type { SimWorld } from './sim-world.ts';

const payloadBytes = 700;

/** What a load gave after the damage. */
interface Loaded {
  readonly reason: MissReason | undefined;
  readonly tier: Tier | undefined;
  readonly isRight: boolean;
  readonly stats: StoreStats;
}

/** Saves one block, damages a byte of what lies somewhere, and loads it by the next process. */
async function damageAndLoad(
  seed: number,
  damage: (world: SimWorld, key: BlockKey) => Promise<void> | void,
): Promise<Loaded> {
  const world = historyWorld(seed);
  const [slot] = world.slots;
  const key = world.payloads.key('damaged');
  const payload = world.payloads.bytes('damaged', payloadBytes);
  const run = async (): Promise<Loaded> => {
    await world.open(slot);
    assert.equal(
      (await slot.store?.save([{ key, payload: payload.slice() }], { durable: true }))?.saved,
      1,
    );
    await world.close(slot);
    await damage(world, key);
    await world.open(slot);
    const { store } = slot;
    assert.ok(store !== undefined);
    const borrow = await store.load([key]);
    const [block] = borrow.blocks;
    const isRight = block === undefined || sameBytes(block.payload, payload);
    const { reason } = borrow;
    borrow.release();
    return { reason, tier: block?.tier, isRight, stats: await store.stats() };
  };
  return world.scheduler.run(run());
}

/** Exchanges bits of one byte of the block's object, and leaves the host without a copy. */
async function damageObject(world: SimWorld, at: number, mask: number): Promise<void> {
  const { bucket } = world;
  assert.ok(bucket !== undefined);
  world.machines[0].disk.removeTree(cacheDirectory);
  const [objectKey] = bucket.keys();
  const bytes = bucket.find(objectKey)?.bytes.slice();
  assert.ok(bytes !== undefined);
  bytes[at] ^= mask;
  world.oracle.noteAltered(objectKey, true);
  await bucket.put(parseObjectKey(objectKey), [bytes]);
}

/** Exchanges bits of one byte of the log. */
function damageSegment(world: SimWorld, at: number, mask: number): void {
  const [{ disk }] = world.machines;
  const place = disk.find(`${cacheDirectory}/v1/0`);
  assert.ok(place instanceof DirectoryNode);
  const segment = [...place.entries.values()].find(
    (node): node is FileNode => node instanceof FileNode && node.byteLength > payloadBytes,
  );
  assert.ok(segment !== undefined && at < segment.byteLength);
  const bytes = new Uint8Array([segment.bytes[at] ^ mask]);
  const write = { kind: 'write' as const, position: at, bytes };
  disk.apply({ kind: 'write', serial: segment.serial, write });
}

const headerBytes = 192;
/** Bytes of a segment's header, and of the record of the save that stands before the payload's. */
const segmentHeaderBytes = 64;

function report(context: TestContext, counts: Map<string, number>): void {
  context.diagnostic(JSON.stringify(Object.fromEntries(counts)));
}

// Goal: no changed byte is ever given to anybody, and each is counted once where a copy was found
// damaged. Method: one byte after another of an object, and of a log, is changed by one bit and by
// all of its bits; the next process loads the block.
describe('corruption', () => {
  it('of any byte of an object is found and counted', async (t) => {
    const counts = new Map<string, number>();
    for (let at = 0; at < headerBytes + payloadBytes; at += 1) {
      for (const mask of [0xff, 1 << (at % 8)]) {
        const loaded = await damageAndLoad(at, (world) => damageObject(world, at, mask));
        assert.ok(loaded.isRight, `byte ${at}`);
        assert.equal(loaded.tier, undefined, `byte ${at} of an object went unseen`);
        const { reason = 'none' } = loaded;
        assert.ok(reason === 'corrupt' || reason === 'incompatible', `byte ${at}: ${reason}`);
        assert.equal(loaded.stats.corrupt, reason === 'corrupt' ? 1 : 0, `byte ${at} is counted`);
        counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
    }
    report(t, counts);
    // Only the version is believed before the checksum of the header holds.
    assert.ok((counts.get('incompatible') ?? 0) <= 4);
  });

  it('of any byte of the log costs that copy at most, and a damaged payload is counted', async (t) => {
    const counts = new Map<string, number>();
    // Segment header, record of the save with one key, header of the payload's record, payload.
    const recordBytes = 192 + 64;
    const end = segmentHeaderBytes + recordBytes + headerBytes + payloadBytes;
    for (let at = 0; at < end; at += 1) {
      for (const mask of [0xff, 1 << (at % 8)]) {
        const loaded = await damageAndLoad(at, (world) => damageSegment(world, at, mask));
        assert.ok(loaded.isRight, `byte ${at}`);
        assert.equal(loaded.reason, undefined, `byte ${at}: the bucket has it`);
        // A damaged payload is found as it is read. A damaged header names no copy any more.
        const isCounted = loaded.stats.corrupt === 1;
        assert.ok(!isCounted || loaded.tier === 'object');
        const what = `${loaded.tier}${isCounted ? ', counted' : ''}`;
        counts.set(what, (counts.get(what) ?? 0) + 1);
      }
    }
    report(t, counts);
    assert.ok((counts.get('object, counted') ?? 0) >= 2 * (payloadBytes - 200));
    assert.ok((counts.get('object') ?? 0) >= 300);
  });
});
