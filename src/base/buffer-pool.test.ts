import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPool, takeLeadingParts, takeParts } from './buffer-pool.ts';

const size = 100_000;

/** A pool of a system that has so many bytes. */
function poolOf(bytes: number): BufferPool {
  let left = bytes;
  return new BufferPool(100 * size, (length) => {
    if (length > left) throw new Error(`no ${length} bytes`);
    left -= length;
    return new Uint8Array(length);
  });
}

describe('parts of a pool', () => {
  it('lie one behind the other and have their lengths', () => {
    const { parts } = takeParts(poolOf(3 * size), [size, 0, 2 * size]);
    assert.deepEqual(
      parts.map(({ length, byteOffset }) => [length, byteOffset]),
      [
        [size, 0],
        [0, size],
        [2 * size, size],
      ],
    );
    assert.ok(parts.every(({ buffer }) => buffer === parts[0].buffer));
  });

  it('are all or none, and what was taken of them is given back', () => {
    const pool = poolOf(4 * size);
    assert.throws(() => takeParts(pool, [size, size, size, size, size]), /^Error: no \d+ bytes$/);
    const given = pool.bytes;
    assert.ok(given >= 3 * size, `${given} bytes`);
  });

  it('are the leading ones that there is memory for, where no more are needed', () => {
    for (let count = 0; count < 8; count += 1) {
      const lengths = [...new Array<number>(count).fill(size), 9 * size, 10];
      const { parts, refusal, release } = takeLeadingParts(poolOf(count * size + 5), lengths);
      assert.equal(parts.length, count);
      assert.match(refusal?.message ?? '', /no 900000 bytes/);
      release();
    }
    assert.equal(takeLeadingParts(poolOf(2 * size), [size, size]).refusal, undefined);
  });
});
