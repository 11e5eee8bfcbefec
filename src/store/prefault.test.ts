import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { deferred } from '../base/deferred.ts';
import { limits } from '../blocks/limits.ts';
import { noReaders } from '../cache/outside-readers.ts';
import { processMemory } from '../platform/payload-memory.ts';
import { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import { Prefault } from './prefault.ts';

const unit = limits.extentBytesUnit;

async function turns(clock: ManualClock): Promise<void> {
  for (let i = 0; i < 40; i += 1) await clock.yield();
}

function allocate(tier: SlabMemoryTier, units: number): void {
  for (let i = 0; i < units; i += 1) assert.ok(tier.allocate(unit) !== undefined);
}

/** A tier of so many units whose memory ahead of need comes when it is given. */
function tierOfAnotherThread(units: number): {
  readonly tier: SlabMemoryTier;
  /** True when somebody waited for some. */
  readonly give: () => boolean;
  readonly asked: () => number;
} {
  const waiting: (() => void)[] = [];
  let asked = 0;
  const tier = new SlabMemoryTier(
    units * unit,
    (byteLength) => processMemory.take(byteLength),
    noReaders,
    (byteLength) => {
      asked += 1;
      return new Promise((resolve) => {
        waiting.push(() => resolve(processMemory.take(byteLength)));
      });
    },
  );
  const give = (): boolean => {
    const next = waiting.shift();
    next?.();
    return next !== undefined;
  };
  return { tier, give, asked: () => asked };
}

async function settle(clock: ManualClock, give: () => boolean): Promise<void> {
  do await turns(clock);
  while (give());
}

describe('memory made ahead of need', () => {
  it('is made again behind what is taken, when that has rested', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: true });
    await turns(clock);
    assert.equal(tier.usage.slabBytes, 8 * unit);
    allocate(tier, 6);
    await turns(clock);
    assert.equal(tier.usage.slabBytes, 8 * unit, 'nothing is made while memory is being taken');
    clock.advance(100);
    await turns(clock);
    assert.equal(tier.usage.slabBytes, 16 * unit);
    await prefault.stop();
  });

  it('is made again at once by another thread, when half of it is taken', async () => {
    const clock = new ManualClock();
    const { tier, give, asked } = tierOfAnotherThread(64);
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: true });
    await settle(clock, give);
    assert.deepEqual([tier.source.aheadBytes, asked()], [8 * unit, 2]);
    allocate(tier, 1);
    await turns(clock);
    assert.equal(asked(), 3);
    assert.equal(tier.source.aheadBytes, 8 * unit, 'what is being made counts');
    allocate(tier, 4);
    await turns(clock);
    assert.equal(asked(), 3, 'one after the other');
    await settle(clock, give);
    assert.equal(tier.source.aheadBytes, 8 * unit);
    await prefault.stop();
  });

  it('is made again by another thread only later, until the process has come to rest', async () => {
    const clock = new ManualClock();
    const { tier, give, asked } = tierOfAnotherThread(64);
    const rest = deferred<void>();
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: true, rest: rest.promise });
    await settle(clock, give);
    assert.equal(asked(), 2);
    allocate(tier, 10);
    await turns(clock);
    assert.equal(asked(), 2, 'the first load is under way');
    clock.advance(100);
    await settle(clock, give);
    assert.ok(asked() > 2);
    assert.equal(tier.source.aheadBytes, 8 * unit);
    rest.resolve();
    await turns(clock);
    const before = asked();
    allocate(tier, 5);
    await turns(clock);
    assert.equal(asked(), before + 1);
    await settle(clock, give);
    await prefault.stop();
  });

  it('never exceeds the budget', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: true });
    for (let i = 0; i < 16; i += 1) {
      allocate(tier, 4);
      clock.advance(100);
      await turns(clock);
      assert.ok(tier.usage.slabBytes <= 64 * unit);
    }
    assert.equal(tier.usage.slabBytes, 64 * unit);
    await prefault.stop();
  });

  it('is not made any more when other lengths are needed', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: true });
    await turns(clock);
    // One of two pieces makes room for it.
    assert.ok(tier.allocate(58 * unit) !== undefined);
    assert.equal(tier.usage.slabBytes, 62 * unit);
    clock.advance(100);
    await turns(clock);
    assert.equal(tier.usage.slabBytes, 62 * unit);
    await prefault.stop();
  });

  it('is made once where it is not kept up', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: false });
    await turns(clock);
    allocate(tier, 6);
    assert.equal(clock.waiting, 0);
    await prefault.stop();
    assert.equal(tier.usage.slabBytes, 8 * unit);
  });

  it('ends when the store does', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, { isKeptUp: true });
    await turns(clock);
    allocate(tier, 1);
    await prefault.stop();
    allocate(tier, 20);
    assert.equal(clock.waiting, 0);
  });
});
