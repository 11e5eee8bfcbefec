import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { byteTextOf, parseObjectKey, textOfByteText } from './object-key.ts';

describe('parseObjectKey()', () => {
  it('gives texts of 1 to 1024 bytes of UTF-8 back', () => {
    for (const text of ['a', '/', '..', 'é'.repeat(512), '🦘'.repeat(256), 'x'.repeat(1024)]) {
      assert.equal(parseObjectKey(text), text);
    }
  });

  it('names what is wrong with other texts', () => {
    const faults: readonly (readonly [string, RegExp])[] = [
      ['', /"" is empty/],
      ['a\0b', /"a\\u0000b" contains NUL/],
      ['\ud800', /"\\ud800" is not well-formed/],
      ['a\udc00b', /is not well-formed/],
      ['x'.repeat(1025), /"x{117}\.\.\." has 1025 bytes, more than 1024/],
      ['é'.repeat(513), /has 1026 bytes/],
      ['🦘'.repeat(257), /has 1028 bytes/],
    ];
    for (const [text, message] of faults) {
      assert.throws(() => parseObjectKey(text), { name: 'RangeError', message });
    }
  });
});

describe('byteTextOf()', () => {
  const text = fc.string({ unit: 'grapheme' });

  it('orders texts as their UTF-8 bytes', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const order = Buffer.compare(Buffer.from(a), Buffer.from(b));
        assert.equal(byteTextOf(a) < byteTextOf(b), order < 0);
        assert.equal(byteTextOf(a) === byteTextOf(b), order === 0);
      }),
    );
  });

  it('is undone by textOfByteText(), which knows bytes that are no text', () => {
    fc.assert(fc.property(text, (a) => assert.equal(textOfByteText(byteTextOf(a)), a)));
    for (const noText of ['\u0080', '\u00c3', '\u00ed\u00a0\u0080', 'a\u00ff']) {
      assert.equal(textOfByteText(noText), undefined);
    }
  });
});
