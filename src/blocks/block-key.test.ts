import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blockKeyLength, isBlockKey, parseBlockKey } from './block-key.ts';

const key = '8f28dda446c41d3d0433979975b1d780d00e2d99e9d6bd01c43d26713ee5e233';

describe('parseBlockKey()', () => {
  it('takes 64 hex digits of either case and gives them in lower case', () => {
    assert.equal(parseBlockKey(key), key);
    assert.equal(parseBlockKey(key.toUpperCase()), key);
    assert.equal(key.length, blockKeyLength);
  });

  it('names what is wrong, in the words that callers of the C library look for', () => {
    assert.throws(() => parseBlockKey(key.slice(1)), { name: 'RangeError', message: /64 chars/ });
    assert.throws(() => parseBlockKey(`${key}0`), { name: 'RangeError', message: /got 65/ });
    assert.throws(() => parseBlockKey(''), { name: 'RangeError', message: /got 0/ });
    const other = `${key.slice(0, -1)}g`;
    assert.throws(() => parseBlockKey(other), { name: 'RangeError', message: /not a hex digit/ });
  });

  it('does not take a letter that only becomes a digit in lower case, nor a line end', () => {
    // The Kelvin sign is a `k` in lower case; no such letter is a hex digit, and none may be.
    for (const last of ['\u212a', '\u0130', '\n', '\u0000', 'А']) {
      assert.throws(() => parseBlockKey(`${key.slice(0, -1)}${last}`), RangeError);
    }
    assert.throws(() => parseBlockKey(`${key}\n`), RangeError);
  });
});

describe('isBlockKey()', () => {
  it('holds for the canonical form only', () => {
    assert.ok(isBlockKey(key));
    assert.ok(!isBlockKey(key.toUpperCase()));
    assert.ok(!isBlockKey(`${key}\n`));
  });

  it('holds for everything that parses, and for nothing else', () => {
    const digit = fc.constantFrom(...'0123456789abcdefABCDEFgx');
    const text = fc.string({ unit: digit, minLength: 62, maxLength: 66 });
    fc.assert(
      fc.property(text, (candidate) => {
        const lower = candidate.toLowerCase();
        if (isBlockKey(lower)) assert.equal(parseBlockKey(candidate), lower);
        else assert.throws(() => parseBlockKey(candidate), RangeError);
      }),
    );
  });
});
