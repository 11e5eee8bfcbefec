import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blake3 as nativeBlake3 } from '@napi-rs/blake-hash';
import fc from 'fast-check';
import { blake3Vectors } from '../../test/golden/keys.ts';
import { concatBytes } from './bytes.ts';
import { blake3, blake3Bytes, blake3Hex, blake3Into, blake3Stream } from './blake3.ts';
import { hexFromBytes } from './hex.ts';

/** Digests of the bytes `i mod 251`, by length, from the contract. */
const vectors = blake3Vectors();

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
