import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import { noReaders } from './outside-readers.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';
import { processMemory } from '../platform/payload-memory.ts';
import type { SlabBytes, TakeMemoryLater } from './slab-memory.ts';

describe('memory that another thread makes ahead of need', () => {
  const mib = 1024 * 1024;
  const laterOf = (take: TakeMemoryLater): SlabMemoryTier =>
    new SlabMemoryTier(64 * mib, (byteLength) => processMemory.take(byteLength), noReaders, take);

  it('counts from the moment when it is asked for, and is used when it is there', async () => {
    const coming = deferred<SlabBytes | undefined>();
    const tier = laterOf(() => coming.promise);
    tier.planPrefault(4 * mib);
    assert.equal(tier.prefaultStep(), false);
    const making = tier.source.prefaultLater();
    assert.equal(tier.usage.slabBytes, 4 * mib);
    assert.ok(tier.allocate(mib) !== undefined);
    assert.equal(tier.usage.slabBytes, 5 * mib);
    coming.resolve(processMemory.take(4 * mib));
    assert.equal(await making, true);
    assert.equal(tier.prefaultStep(), false, 'who made it has touched it');
    assert.ok(tier.allocate(mib) !== undefined);
    assert.equal(tier.usage.slabBytes, 5 * mib);
  });

  it('that the system refuses is the end of its memory, and nothing is lost by it', async () => {
    const tier = laterOf(() => Promise.resolve(undefined));
    assert.ok(tier.allocate(mib) !== undefined);
    tier.planPrefault(8 * mib);
    assert.equal(await tier.source.prefaultLater(), false);
    assert.equal(tier.usage.slabBytes, mib);
    assert.equal(tier.allocate(mib), undefined);
  });

  it('goes back when other lengths turn out to be needed before it comes', async () => {
    const coming: ((memory: SlabBytes | undefined) => void)[] = [];
    const tier = laterOf(() => new Promise((resolve) => coming.push(resolve)));
    tier.planPrefault(8 * mib);
    for (const _ of [1, 2]) {
      const making = tier.source.prefaultLater();
      if (coming.length > 1) assert.ok(tier.allocate(57 * mib) !== undefined);
      coming.at(-1)?.(processMemory.take(4 * mib));
      assert.equal(await making, coming.length === 1);
    }
    assert.equal(tier.usage.slabBytes, 57 * mib);
  });

  it('leaves small slabs to be taken while somebody waits', () => {
    const fill = (tier: SlabMemoryTier): number => {
      for (let extents = 0; extents < 9; extents += 1) assert.ok(tier.allocate(mib) !== undefined);
      return tier.usage.slabBytes;
    };
    assert.equal(fill(new SlabMemoryTier(1024 * mib)), 16 * mib);
    const never = (): Promise<undefined> => Promise.resolve(undefined);
    const tier = new SlabMemoryTier(
      1024 * mib,
      (byteLength) => processMemory.take(byteLength),
      noReaders,
      never,
    );
    assert.equal(fill(tier), 12 * mib);
  });
});
