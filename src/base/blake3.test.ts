import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blake3 as nativeBlake3 } from '@napi-rs/blake-hash';
import fc from 'fast-check';
import { concatBytes } from './bytes.ts';
import { blake3, blake3Bytes, blake3Hex, blake3Into, blake3Stream } from './blake3.ts';
import { hexFromBytes } from './hex.ts';

/** Digests of the bytes `i mod 251`, by length, from the contract. */
const vectors: readonly (readonly [number, string])[] = [
  [0, 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'],
  [1, '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213'],
  [1024, '42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7'],
  [2049, '5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030'],
  [102400, 'bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085'],
];

describe('blake3', () => {
  for (const [length, expected] of vectors) {
    it(`of ${length} bytes is that of the contract, in every form`, () => {
      const input = Uint8Array.from({ length }, (_, i) => i % 251);
      const output = new Uint8Array(blake3Bytes);
      blake3Into(input, output);
      assert.equal(hexFromBytes(output), expected);
      assert.equal(hexFromBytes(blake3(input)), expected);
      assert.equal(blake3Hex(input), expected);
    });
  }

  it('agrees with another implementation, at any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (input) => {
        assert.equal(blake3Hex(input), nativeBlake3(Buffer.from(input)).toString('hex'));
      }),
      { numRuns: 200 },
    );
  });

  it('is the same over a stream of parts', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 5 }), (parts) => {
        const stream = blake3Stream();
        for (const part of parts) stream.update(part);
        assert.equal(stream.digestHex(), blake3Hex(concatBytes(parts)));
      }),
    );
  });

  it('gives a digest that later calls do not change', () => {
    const first = blake3(Uint8Array.of(1));
    const copy = first.slice();
    blake3(Uint8Array.of(2));
    assert.deepEqual(first, copy);
  });
});
