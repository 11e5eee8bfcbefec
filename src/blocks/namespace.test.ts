import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { anyCharacter } from '../../test/support/characters.ts';
import { limits } from './limits.ts';
import { defaultNamespaceName, parseNamespace } from './namespace.ts';

describe('parseNamespace()', () => {
  it('gives back every well-formed name of 1 to 80 bytes as it is', () => {
    const names = ['a', defaultNamespaceName, 'team/a', '.', '..', ' ', 'Ärger 漢字 🐨', '\u0000'];
    for (const name of names) assert.equal(parseNamespace(name), name);
    assert.equal(parseNamespace('é'.repeat(40)), 'é'.repeat(40));
    assert.equal(parseNamespace('a'.repeat(80)), 'a'.repeat(80));
  });

  it('counts bytes of UTF-8, not characters', () => {
    for (const long of ['a'.repeat(81), 'é'.repeat(41), '漢'.repeat(27), '🐨'.repeat(21)]) {
      assert.throws(() => parseNamespace(long), { name: 'RangeError', message: /1 to 80 bytes/ });
    }
  });

  it('refuses the empty name', () => {
    assert.throws(() => parseNamespace(''), { name: 'RangeError', message: /got 0/ });
  });

  it('refuses halves of surrogate pairs, which UTF-8 would make equal', () => {
    for (const broken of ['\ud83d', 'a\udc28', '\udc28\ud83d', '🐨\ud83d']) {
      assert.throws(() => parseNamespace(broken), { name: 'RangeError', message: /well-formed/ });
    }
  });

  it('accepts exactly the names that survive UTF-8 and fit', () => {
    const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
    const text = fc.oneof(fc.string({ unit, maxLength: 30 }), fc.string({ unit: anyCharacter }));
    fc.assert(
      fc.property(text, (name) => {
        const bytes = Buffer.from(name, 'utf8');
        const fits = bytes.length >= 1 && bytes.length <= limits.namespaceBytesMax;
        const isAccepted = fits && bytes.toString('utf8') === name;
        if (isAccepted) assert.equal(parseNamespace(name), name);
        else assert.throws(() => parseNamespace(name), { name: 'RangeError' });
      }),
      { numRuns: 500 },
    );
  });
});
