import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { limits } from '../blocks/limits.ts';
import { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import { Prefault } from './prefault.ts';

const unit = limits.extentBytesUnit;

async function turns(clock: ManualClock): Promise<void> {
  for (let i = 0; i < 40; i += 1) await clock.yield();
}

function allocate(tier: SlabMemoryTier, units: number): void {
  for (let i = 0; i < units; i += 1) assert.ok(tier.allocate(unit) !== undefined);
}

describe('memory made ahead of need', () => {
  it('is made again behind what is taken, when that has rested', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, true);
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

  it('never exceeds the budget', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, true);
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
    const prefault = new Prefault(tier, clock, 8 * unit, true);
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
    const prefault = new Prefault(tier, clock, 8 * unit, false);
    await turns(clock);
    allocate(tier, 6);
    assert.equal(clock.waiting, 0);
    await prefault.stop();
    assert.equal(tier.usage.slabBytes, 8 * unit);
  });

  it('ends when the store does', async () => {
    const clock = new ManualClock();
    const tier = new SlabMemoryTier(64 * unit);
    const prefault = new Prefault(tier, clock, 8 * unit, true);
    await turns(clock);
    allocate(tier, 1);
    await prefault.stop();
    allocate(tier, 20);
    assert.equal(clock.waiting, 0);
  });
});
