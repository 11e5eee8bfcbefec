import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { crc32cVectors } from '../../test/golden/keys.ts';
import { concatBytes } from './bytes.ts';
import {
  crc32c,
  crc32cAppend,
  crc32cBefore,
  crc32cByTable,
  crc32cCombine,
  crc32cOfRange,
} from './crc32c.ts';
import { hexFromBytes } from './hex.ts';

/** The first from the contract, the others from the iSCSI standard. */
const vectors = crc32cVectors();

describe('crc32c()', () => {
  for (const [input, expected] of vectors) {
    it(`of ${hexFromBytes(input) || 'nothing'} is 0x${expected.toString(16)}`, () => {
      assert.equal(crc32c(input), expected);
      assert.equal(crc32cByTable(0, input), expected);
    });
  }

  it('is the same by table and by the path for long inputs, at any length and alignment', () => {
    const memory = Uint8Array.from({ length: 1200 }, (_, i) => (i * i) % 251);
    fc.assert(
      fc.property(fc.nat(8), fc.nat(1100), fc.nat(0xffffffff), (start, length, crc) => {
        const input = memory.subarray(start, start + length);
        assert.equal(crc32cAppend(crc, input), crc32cByTable(crc, input));
        assert.equal(crc32cOfRange(crc, memory, start, start + length), crc32cByTable(crc, input));
      }),
      { numRuns: 1000 },
    );
  });

  it('reads shared memory', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(1000));
    assert.equal(crc32c(shared), crc32c(new Uint8Array(1000)));
  });

  it('changes with any changed byte', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 600 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (input, place, mask) => {
          const changed = input.slice();
          changed[place % input.length] ^= mask;
          assert.notEqual(crc32c(changed), crc32c(input));
        },
      ),
    );
  });
});

describe('crc32cAppend() and crc32cCombine()', () => {
  const bytes = fc.uint8Array({ maxLength: 700 });

  it('give the checksum of the two parts together', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const whole = crc32c(concatBytes([a, b]));
        assert.equal(crc32cAppend(crc32c(a), b), whole);
        assert.equal(crc32cCombine(crc32c(a), crc32c(b), b.length), whole);
      }),
      { numRuns: 500 },
    );
  });

  it('hold for lengths beyond 32 bits, where combining twice is combining once', () => {
    const a = 0x12345678;
    const half = 0x9abcdef0;
    const big = 5 * 2 ** 32 + 3;
    const tail = crc32cCombine(half, 0x0f0f0f0f, 7);
    const stepwise = crc32cCombine(crc32cCombine(a, half, big), 0x0f0f0f0f, 7);
    assert.equal(crc32cCombine(a, tail, big + 7), stepwise);
  });
});

describe('crc32cBefore()', () => {
  it('takes back what was appended', () => {
    assert.equal(crc32cBefore(0xe3069283, new TextEncoder().encode('56789')), 0xf63af4ee);
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.uint8Array({ maxLength: 300 }), (crc, input) => {
        assert.equal(crc32cBefore(crc32cAppend(crc, input), input), crc);
      }),
    );
  });
});
