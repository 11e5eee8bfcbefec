import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../blocks/limits.ts';
import { lruHitRatio, scanTrace } from '../../test/support/scan-trace.ts';
import type { ScanTrace } from '../../test/support/scan-trace.ts';
import type { Extent } from './extent.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';

const extentBytes = limits.extentBytesUnit;
const things = 512;
const favourites = 5 * things;
const common = { seed: 7, favourites, requests: 60_000 };

/** Share of the requests that the tier answers. */
function hitRatio(trace: Iterable<number>, budgetBytes: number): number {
  const tier = new SlabMemoryTier(budgetBytes);
  const held = new Map<number, Extent>();
  let [hits, requests] = [0, 0];
  for (const thing of trace) {
    requests += 1;
    const known = held.get(thing);
    if (known !== undefined) {
      hits += 1;
      known.pin();
      known.unpin();
      continue;
    }
    const extent = tier.allocate(extentBytes);
    assert.ok(extent !== undefined);
    tier.makeResident(extent, () => held.delete(thing));
    held.set(thing, extent);
    extent.unpin();
    assert.ok(tier.usage.slabBytes <= budgetBytes);
  }
  return hits / requests;
}

function compare(name: string, changes: Pick<ScanTrace, 'scanEvery' | 'scanLength'>): number {
  const options = { ...common, ...changes };
  const own = hitRatio(scanTrace(options), things * extentBytes);
  const lru = lruHitRatio(scanTrace(options), things);
  process.stdout.write(`${name}: hit ratio ${own.toFixed(3)}, plain LRU ${lru.toFixed(3)}\n`);
  return own / lru;
}

describe('eviction from the memory tier', () => {
  it('keeps favourites through scans: more hits than plain LRU of as many bytes', () => {
    assert.ok(compare('long scans', { scanEvery: 1000, scanLength: things }) > 1.1);
    assert.ok(compare('a steady scan', { scanEvery: 2, scanLength: 1 }) > 1.05);
    assert.ok(compare('nothing but scans between', { scanEvery: 1, scanLength: 2 }) > 1.1);
  });

  it('has no fewer hits than plain LRU without scans', () => {
    assert.ok(compare('no scan', { scanEvery: 1_000_000, scanLength: 1 }) > 1);
  });

  it('lets go of favourites that nobody asks for any more', () => {
    const first = [...scanTrace({ ...common, requests: 20_000, scanEvery: 2, scanLength: 1 })];
    const later = first.map((thing) => thing + 10_000_000);
    const alone = hitRatio(later, things * extentBytes);
    const after = hitRatio([...first, ...later], things * extentBytes);
    // The first half of the requests alone has as many hits as the second half would have.
    assert.ok(after > 0.97 * alone, `${after.toFixed(3)} against ${alone.toFixed(3)}`);
  });
});
