import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../blocks/limits.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';

const unit = limits.extentBytesUnit;

describe('a memory tier that was refused memory', () => {
  it('asks the system again, a good while after', () => {
    let [asked, isShort] = [0, true];
    const tier = new SlabMemoryTier(64 * unit, (byteLength) => {
      asked += 1;
      return isShort ? undefined : new Uint8Array(new SharedArrayBuffer(byteLength));
    });
    for (let want = 0; want < 256; want += 1) assert.equal(tier.allocate(unit), undefined);
    assert.equal(asked, 1, 'to ask is dear');
    isShort = false;
    assert.equal(tier.allocate(unit)?.bytes.length, unit);
    const { slabBytes } = tier.usage;
    assert.ok(slabBytes >= unit && slabBytes <= 64 * unit);
  });
});
