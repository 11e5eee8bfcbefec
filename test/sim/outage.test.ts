import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isStoreError } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { chainOf } from '../support/chains.ts';
import { Dice } from './dice.ts';
import { FaultCounts } from './fault-counts.ts';
import { calmNetwork } from './network-faults.ts';
import { Scheduler } from './scheduler.ts';
import { SimBucket } from './sim-bucket.ts';
import { SimMachine } from './sim-machine.ts';
import { SimNetwork } from './sim-network.ts';
import { SimProcess } from './sim-process.ts';
import { simTranscoder } from './sim-transcoder.ts';
import { Trace } from './trace.ts';

const kib = 1024;
const mib = 1024 * kib;
const settings = {
  ...{ namespace: parseNamespace('default'), keyPrefix: 'kv/sim', cacheDirectory: '/sim/cache' },
  ...{ memoryBytes: 4 * mib, diskBytes: 24 * mib, objectStoreBytesMax: false as const },
  ...{ compression: 'off' as const, compressionLevel: 1, putDurable: false },
  ...{ lookupDeadlineMs: 250, loadDeadlineMs: 2000, callDeadlineMsMax: 30_000 },
  backlogBytesMax: 8 * mib,
};
/** The log makes room by whole segments. */
const diskBytesMost = settings.diskBytes + 64 * mib;
/** Steps of the disk and the processor that a call may take beside what it waits for. */
const ownMs = 200;
/** Payloads, buffers and timers of the store; the simulated disk and bucket lie in it too. */
const growthMost = 256 * mib;

/** A real store on a simulated machine, with a bucket that can be taken away. */
async function openWorld(scheduler: Scheduler) {
  const trace = new Trace(scheduler, false);
  const world = { scheduler, trace, dice: new Dice('outage'), counts: new FaultCounts() };
  const machine = new SimMachine(world, 'host', 0);
  const bucket = new SimBucket(world);
  const openOn = (): Promise<KvStore> => {
    const process = new SimProcess(machine, world);
    const ignored = { onAltered: () => undefined, onLatePut: () => undefined };
    const shares = () => calmNetwork;
    const objects = new SimNetwork({ world, bucket, process, shares, ...ignored });
    const transcoder = simTranscoder(process, loadZstd);
    const { platform } = process;
    return assembleStore({ platform, objects, transcoder, settings, logger: silentLogger });
  };
  return { bucket, store: await openOn() };
}

/** Fails unless the call ends by its time; resolves to what it gave, or to its error. */
async function timed<Result>(
  scheduler: Scheduler,
  what: string,
  limitMs: number,
  call: () => Promise<Result>,
): Promise<Result | Error> {
  const startMs = scheduler.nowMs;
  const result = await call().catch((error: unknown) => {
    assert.ok(error instanceof Error);
    return error;
  });
  const ms = scheduler.nowMs - startMs;
  assert.ok(ms <= limitMs + ownMs, `${what} took ${ms} ms; it has ${limitMs}`);
  return result;
}

// Goal: a bucket that is gone for an hour costs misses within the deadlines and then BUSY, and never
// memory or a hang. Method: an hour of virtual time in which most requests fail and the others are
// never answered, with lookups, loads and saves all the while, by the limits of the settings.
it('a bucket gone for an hour costs misses within the deadlines, then BUSY, and no memory', async () => {
  const scheduler = new Scheduler();
  await scheduler.run(hour(scheduler));
});

async function hour(scheduler: Scheduler): Promise<void> {
  const { bucket, store } = await openWorld(scheduler);
  const held = chainOf('held', 4, 64 * kib);
  await store.save(held.blocks, { durable: true });
  bucket.mode = 'gone';
  const before = memoryNow();
  const startMs = scheduler.nowMs;
  const reasons = new Set<string | undefined>();
  let [accepted, busy] = [0, 0];
  for (let step = 0; scheduler.nowMs < startMs + 3_600_000; step += 1) {
    const strange = chainOf(`strange-${step}`, 8, 1).keys;
    const lookup = await timed(scheduler, 'lookup', 250, () => store.lookup(strange));
    assert.ok(!(lookup instanceof Error) && lookup.matched === 0);
    const borrow = await timed(scheduler, 'load', 2000, () => store.load(strange));
    assert.ok(!(borrow instanceof Error));
    borrow.release();
    reasons.add(lookup.reason).add(borrow.reason);
    const { blocks } = chainOf(`saved-${step}`, 4, 64 * kib);
    const saved = await timed(scheduler, 'save', 10_000, () => store.save(blocks));
    if (saved instanceof Error) {
      assert.ok(isStoreError(saved, 'BUSY'), String(saved));
      busy += 1;
    } else {
      assert.equal(busy, 0, 'once the backlog is full it stays full');
      accepted += 1;
    }
    const { memory, disk, pendingBytes } = await store.stats();
    assert.ok(pendingBytes <= settings.backlogBytesMax, `${pendingBytes} bytes pending`);
    assert.ok(memory.bytes <= settings.memoryBytes && disk.bytes <= diskBytesMost);
    await scheduler.wait(20_000);
  }
  assert.deepEqual(reasons, new Set(['deadline', 'unavailable']));
  assert.equal(accepted, settings.backlogBytesMax / (4 * 64 * kib));
  assert.ok(busy >= 60, `${busy} saves were refused`);
  assert.ok(memoryNow() - before <= growthMost, 'memory grew');
  const { misses, refused, uploadFailures, lastFailure } = await store.stats();
  assert.equal(refused, busy);
  assert.ok(misses.deadline > 0 && misses.unavailable > 0 && uploadFailures > 0);
  assert.equal(typeof lastFailure, 'string');
  const own = await store.load(held.keys);
  assert.equal(own.blocks.length, 4, 'what the host holds is served all the while');
  own.release();
  bucket.mode = 'normal';
  // Attempts that are never answered end by their own deadline of a minute first.
  await scheduler.wait(120_000);
  await store.flush();
  assert.equal((await store.stats()).pending, 0);
  await store.close();
}

/** Bytes of objects and of arrays outside of them. */
function memoryNow(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
