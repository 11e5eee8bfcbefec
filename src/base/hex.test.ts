import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bytesFromHex, hexFromBytes, writeHex } from './hex.ts';

describe('hex', () => {
  it('is two lower-case digits a byte', () => {
    assert.equal(hexFromBytes(Uint8Array.of(0, 9, 10, 15, 16, 171, 255)), '00090a0f10abff');
    assert.equal(hexFromBytes(new Uint8Array(0)), '');
  });

  it('comes back in either case', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const hex = hexFromBytes(bytes);
        assert.equal(hex, Buffer.from(bytes).toString('hex'));
        assert.deepEqual(bytesFromHex(hex), bytes);
        assert.deepEqual(bytesFromHex(hex.toUpperCase()), bytes);
      }),
    );
  });

  it('is undefined for anything else', () => {
    const others = ['0', 'abc', '0g', 'g0', '0x', ' 0', '0 ', '-1', '@0', '`0', '[0', '/0', ':0'];
    for (const other of [...others, '¼½', '００', '\u01300', 'é0']) {
      assert.equal(bytesFromHex(other), undefined, JSON.stringify(other));
    }
  });

  it('is written where it shall be, and not where it has no room', () => {
    const into = Buffer.alloc(5, 0x55);
    assert.equal(writeHex('0aF0', into, 1), true);
    assert.deepEqual([...into], [0x55, 0x0a, 0xf0, 0x55, 0x55]);
    assert.equal(writeHex('0g', into, 0), false);
    assert.equal(writeHex('00é0', into, 0), false);
    assert.equal(writeHex('000', into, 0), false);
    assert.deepEqual([...into], [0x55, 0x0a, 0xf0, 0x55, 0x55]);
    assert.equal(writeHex('aabb', into, 4), false);
  });

  it('is what a pattern says it is, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'09afAFgG@` é') }), (text) => {
        assert.equal(bytesFromHex(text) !== undefined, /^(?:[0-9a-fA-F]{2})*$/.test(text));
      }),
    );
  });
});
