import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadZstd } from './zstd.ts';
import { zstdFrameFault } from './zstd-frame.ts';

const zstd = loadZstd();

describe('the zstd that was loaded', () => {
  const text = Uint8Array.from(Buffer.from('wombat '.repeat(60_000)));

  it('makes one frame that states its size, at every level', () => {
    for (let level = 1; level <= 22; level += 1) {
      const frame = zstd.compress(text.subarray(0, 70_000), level);
      assert.equal(zstdFrameFault(frame, 70_000), undefined);
      assert.match(zstdFrameFault(frame, 70_001) ?? '', /states 70000/);
      assert.equal(frame.buffer.byteLength, frame.length);
      assert.equal(frame.constructor, Uint8Array);
    }
  });

  it('gives back what it was given, of any length, from shared memory too', () => {
    for (const length of [0, 1, 2, 255, 256, 257, 65_791, 65_792, 131_072, 131_073, 420_000]) {
      const input = new Uint8Array(new SharedArrayBuffer(length + 3)).subarray(3);
      input.set(text.subarray(0, length));
      const frame = zstd.compress(input, 1);
      assert.equal(zstdFrameFault(frame, length), undefined, `${length} bytes`);
      const shared = new Uint8Array(new SharedArrayBuffer(frame.length));
      shared.set(frame);
      assert.ok(Buffer.from(text.subarray(0, length)).equals(zstd.decompress(shared, length)));
    }
  });

  it('puts the frame at the beginning of what it is given, where that has room', () => {
    const alone = zstd.compress(text, 1);
    const room = new Uint8Array(alone.length + 10).fill(7);
    const placed = zstd.compress(text, 1, room);
    assert.equal(placed.buffer, room.buffer);
    assert.ok(Buffer.from(placed).equals(alone));
    assert.deepEqual(
      [...room.subarray(alone.length)],
      Array.from({ length: 10 }, () => 7),
    );
    const elsewhere = zstd.compress(text, 1, room.subarray(11));
    assert.notEqual(elsewhere.buffer, room.buffer);
    assert.ok(Buffer.from(elsewhere).equals(alone));
  });

  it('refuses a level that is none', () => {
    for (const level of [0, 23, 1.5, NaN]) {
      assert.throws(() => zstd.compress(text, level), { name: 'AssertionError' });
    }
  });
});
