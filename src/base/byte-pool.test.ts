import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BytePool } from './byte-pool.ts';

const size = 64 * 1024;

describe('BytePool', () => {
  it('gives memory again that was given back', () => {
    const pool = new BytePool(4 * size);
    const first = pool.take(size);
    pool.give(first);
    assert.equal(pool.keptBytes, size);
    assert.equal(pool.take(size), first);
    assert.equal(pool.keptBytes, 0);
    assert.notEqual(pool.take(size), first);
  });

  it('gives memory of exactly the length that is asked for', () => {
    const pool = new BytePool(4 * size);
    pool.give(pool.take(size));
    assert.equal(pool.take(size - 1).length, size - 1);
  });

  it('keeps no more than it may, and the newest lengths', () => {
    const pool = new BytePool(2 * size);
    const taken = [0, 1, 2].map((more) => pool.take(size - more));
    for (const bytes of taken) pool.give(bytes);
    assert.ok(pool.keptBytes <= 2 * size);
    assert.equal(pool.take(size - 2), taken[2]);
    assert.notEqual(pool.take(size), taken[0]);
  });

  it('does not keep what is small, or larger than all that it may keep', () => {
    const pool = new BytePool(2 * size);
    pool.give(pool.take(100));
    pool.give(pool.take(3 * size));
    assert.equal(pool.keptBytes, 0);
  });

  it('forgets everything when it is cleared', () => {
    const pool = new BytePool(2 * size);
    pool.give(pool.take(size));
    pool.clear();
    assert.equal(pool.keptBytes, 0);
  });
});
