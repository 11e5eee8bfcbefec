import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { anyCharacter } from '../../test/support/characters.ts';
import { unusualNames } from '../../test/conformance/object-store-keys.ts';
import { decodeName, directoryOfPrefix, pathOfKey } from './key-path.ts';
import { byteTextOf, faultOfKeyText } from './object-key.ts';
import { objectLimits } from './object-limits.ts';

const hex = '0123456789abcdef'.repeat(4);

/** Keys of pieces that the encoding treats specially, often alike in their beginnings. */
const piece = fc.oneof(
  fc.constantFrom('a', '.', '/', '%', '%o', '%d', '%c', '%2F', 'é', '🦘', hex, `${hex}%d`),
  fc.constantFrom('x'.repeat(83), 'x'.repeat(84), 'x'.repeat(85), 'x'.repeat(168)),
  fc.string({ unit: anyCharacter, maxLength: 4 }),
);
const key = fc
  .array(piece, { minLength: 1, maxLength: 8 })
  .map((pieces) => pieces.join(''))
  .filter((text) => text !== '' && faultOfKeyText(text) === undefined);

/** The key whose path it is, by decoding name after name. */
function keyOfPath(path: string): string {
  let text = '';
  let isContinued = false;
  for (const name of path.split('/')) {
    const decoded = decodeName(name, isContinued);
    assert.ok(decoded !== undefined, `${name} in ${path}`);
    text += decoded.text + (decoded.kind === 'directory' ? '/' : '');
    isContinued = decoded.kind === 'continued';
  }
  return text;
}

describe('pathOfKey()', () => {
  it('leaves keys of blocks and tails, of both formats, readable', () => {
    const plain = [
      `kv/cabi/default/wombatkv/v2/block/ab/${hex}`,
      `kv/cabi/default/wombatkv/v2/rawtail/${hex}`,
      `kv/puffer-shm/default/wombatkv/v1/block/b3=${hex}`,
      `kv/cabi/My_Team-1.x/wombatkv/v1/sidecar/raw_tail/b3=${hex}`,
    ];
    for (const text of plain) assert.equal(pathOfKey(text), text);
    assert.equal(pathOfKey(`kv/tail/${hex}/128-${hex}`), `kv/tail/${hex}%d/128-${hex}`);
    assert.equal(pathOfKey(`kv/a%2Fb/block/ab/${hex}`), `kv/a%252Fb/block/ab/${hex}`);
  });

  it('gives literal paths for the rest', () => {
    const paths: readonly (readonly [string, string])[] = [
      ['a', 'a%o'],
      ['a/b', 'a/b%o'],
      ['a/', 'a/%o'],
      ['/a', '%d/a%o'],
      ['..', '%2E.%o'],
      ['../a', '%2E./a%o'],
      ['.tmp/x', '%2Etmp/x%o'],
      ['a b/é', 'a%20b/%C3%A9%o'],
      ['x'.repeat(83), `${'x'.repeat(83)}%o`],
      ['x'.repeat(84), `${'x'.repeat(84)}%c/%o`],
      [`${'x'.repeat(85)}/y`, `${'x'.repeat(84)}%c/x%d/y%o`],
    ];
    for (const [text, path] of paths) assert.equal(pathOfKey(text), path);
  });

  it('is undone name by name, so distinct keys have distinct files', () => {
    for (const name of unusualNames) assert.equal(keyOfPath(pathOfKey(name)), byteTextOf(name));
    fc.assert(
      fc.property(key, (text) => assert.equal(keyOfPath(pathOfKey(text)), byteTextOf(text))),
      { numRuns: 1000 },
    );
  });

  it('never leaves the root, and never has a name that the system refuses', () => {
    fc.assert(
      fc.property(key, (text) => {
        for (const name of pathOfKey(text).split('/')) {
          assert.match(name, /^[A-Za-z0-9_=%-][A-Za-z0-9_=.%-]{0,254}$/);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('leaves room for the longest root in a path of 4095 bytes', () => {
    for (const unit of ['\u0001', '%', '/', 'x/', '\u0001/', '.', './', 'é', '🦘']) {
      const text = unit.repeat(1024 / Buffer.byteLength(unit));
      const path = pathOfKey(text);
      assert.ok(objectLimits.rootPathBytesMax + 1 + path.length <= 4095, `${path.length}`);
    }
  });
});

describe('decodeName()', () => {
  it('knows no name but the one that the encoder makes', () => {
    const foreign = ['.tmp', '.', '..', '', 'lost+found', 'a b', '%61%o', '%2f%o', `${hex}%o`];
    for (const name of [
      ...foreign,
      'a%d',
      '%',
      'a%',
      '%zz',
      `${hex}%d%o`,
      '%2F%o',
      '%00%o',
      '%c',
    ]) {
      assert.equal(decodeName(name, false), undefined, name);
    }
    assert.equal(decodeName('a', true), undefined, 'within a run every name is marked');
    assert.deepEqual(decodeName('a%d', true), { kind: 'directory', text: 'a' });
  });
});

describe('directoryOfPrefix()', () => {
  it('is the deepest directory that holds every key of the prefix', () => {
    const within: readonly (readonly [string, string, string])[] = [
      ['', '', ''],
      ['a', '', ''],
      ['a/', 'a', 'a/'],
      ['a/b', 'a', 'a/'],
      [`${hex}/b`, `${hex}%d`, `${hex}/`],
      ['x'.repeat(83), '', ''],
      ['x'.repeat(84), `${'x'.repeat(84)}%c`, 'x'.repeat(84)],
      [`a/${'x'.repeat(100)}`, `a/${'x'.repeat(84)}%c`, `a/${'x'.repeat(84)}`],
    ];
    for (const [prefix, path, text] of within) {
      const directory = directoryOfPrefix(prefix);
      assert.deepEqual([directory.path, directory.text], [path, text]);
    }
  });

  it('holds the file of every key that begins with the prefix', () => {
    fc.assert(
      fc.property(key, fc.nat(), (text, at) => {
        const characters = [...text];
        const prefix = characters.slice(0, at % (characters.length + 1)).join('');
        const { path } = directoryOfPrefix(prefix);
        assert.ok(path === '' || pathOfKey(text).startsWith(`${path}/`));
      }),
      { numRuns: 1000 },
    );
  });
});
