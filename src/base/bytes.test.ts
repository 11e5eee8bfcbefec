import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { concatBytes, equalBytes, formatBytes, roundUp, viewOf } from './bytes.ts';

describe('roundUp()', () => {
  it('gives the next multiple, and a multiple itself', () => {
    assert.deepEqual(
      [0, 1, 63, 64, 65].map((value) => roundUp(value, 64)),
      [0, 64, 64, 64, 128],
    );
  });

  it('is exact far beyond 32 bits', () => {
    assert.equal(roundUp(2 ** 52 - 1, 64), 2 ** 52);
  });
});

describe('concatBytes()', () => {
  it('puts parts one after another in new memory', () => {
    const parts = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)];
    const joined = concatBytes(parts);
    assert.deepEqual([...joined], [1, 2, 3]);
    joined[0] = 9;
    assert.equal(parts[0][0], 1);
  });

  it('makes nothing of nothing', () => {
    assert.equal(concatBytes([]).length, 0);
  });

  it('takes a window of a larger array for what it shows', () => {
    const window = Uint8Array.of(0, 1, 2, 3).subarray(1, 3);
    assert.deepEqual([...concatBytes([window, window])], [1, 2, 1, 2]);
  });
});

describe('equalBytes()', () => {
  it('compares length and every byte', () => {
    assert.ok(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)));
    assert.ok(equalBytes(new Uint8Array(0), new Uint8Array(0)));
    assert.ok(!equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3)));
    assert.ok(!equalBytes(Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2)));
    for (let at = 0; at < 9; at += 1) {
      const other = new Uint8Array(9);
      other[at] = 1;
      assert.ok(!equalBytes(new Uint8Array(9), other), `byte ${at}`);
    }
  });

  it('does not care where the bytes lie', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(4));
    shared.set([0, 7, 8, 0]);
    assert.ok(equalBytes(shared.subarray(1, 3), Uint8Array.of(7, 8)));
  });
});

describe('viewOf()', () => {
  it('sees exactly the bytes of a window, and shares their memory', () => {
    const bytes = Uint8Array.of(9, 1, 2, 3, 4, 9);
    const view = viewOf(bytes.subarray(1, 5));
    assert.equal(view.byteLength, 4);
    assert.equal(view.getUint32(0, true), 0x04030201);
    view.setUint8(0, 5);
    assert.equal(bytes[1], 5);
  });
});

describe('formatBytes()', () => {
  it('writes byte counts for people', () => {
    const cases: readonly (readonly [number, string])[] = [
      [0, '0 B'],
      [1023, '1023 B'],
      [1024, '1.0 KiB'],
      [1536, '1.5 KiB'],
      [10 * 1024, '10 KiB'],
      [8 * 1024 ** 3, '8.0 GiB'],
      [3 * 1024 ** 5, '3072 TiB'],
    ];
    for (const [count, text] of cases) assert.equal(formatBytes(count), text);
  });
});
