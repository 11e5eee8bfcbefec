import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseBlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import {
  blockObjectKey,
  blockObjectPrefix,
  claimObjectKey,
  claimObjectPrefix,
  decodeNamespace,
  encodeNamespace,
  legacyBlockObjectKey,
  legacyBlockPrefix,
  legacyRawTailObjectKey,
  lastClaimantObjectKey,
  namespaceObjectPrefix,
  parseClaimKey,
  parseObjectKey,
  rawTailObjectKey,
  tailObjectKey,
  tailObjectPrefix,
} from './object-keys.ts';

const key = parseBlockKey('8f28dda446c41d3d0433979975b1d780d00e2d99e9d6bd01c43d26713ee5e233');
const digest = parseBlockKey('004be08c1aab56811e9af4e081d0efe1db2b6f41a36181200e126952c3d46521');
const team = parseNamespace('team-a');

/** Names that must not leave their place in a key, each with its encoded form. */
const hostile: readonly (readonly [string, string])[] = [
  ['.', '%2E'],
  ['..', '%2E%2E'],
  ['...', '...'],
  ['../x', '..%2Fx'],
  ['a/b', 'a%2Fb'],
  ['a%2Fb', 'a%252Fb'],
  ['/', '%2F'],
  ['a b', 'a%20b'],
  ["~*()!'", '%7E%2A%28%29%21%27'],
  ['\u0000\n', '%00%0A'],
  ['é', '%C3%A9'],
  ['🐨', '%F0%9F%90%A8'],
  ['\ufeffx', '%EF%BB%BFx'],
  ['wombatkv', 'wombatkv'],
  ['x'.repeat(80), 'x'.repeat(80)],
  ['🐨'.repeat(20), '%F0%9F%90%A8'.repeat(20)],
];

describe('object keys', () => {
  it('are spelled as the contract says', () => {
    assert.equal(
      blockObjectKey('kv/cabi', team, key),
      `kv/cabi/team-a/wombatkv/v2/block/8f/${key}`,
    );
    assert.equal(
      tailObjectKey('kv/cabi', team, key, 77, digest),
      `kv/cabi/team-a/wombatkv/v2/tail/${key}/77-${digest}`,
    );
    assert.equal(
      rawTailObjectKey('kv/cabi', team, key),
      `kv/cabi/team-a/wombatkv/v2/rawtail/${key}`,
    );
    assert.equal(
      legacyBlockObjectKey('kv/cabi', team, key),
      `kv/cabi/team-a/wombatkv/v1/block/b3=${key}`,
    );
    assert.equal(
      legacyRawTailObjectKey('kv/cabi', team, key),
      `kv/cabi/team-a/wombatkv/v1/sidecar/raw_tail/b3=${key}`,
    );
  });

  it('begin with the prefixes that list them', () => {
    const all = [blockObjectKey('p', team, key), tailObjectKey('p', team, key, 1, digest)];
    assert.ok(all[0].startsWith(blockObjectPrefix('p', team)));
    assert.ok(all[1].startsWith(tailObjectPrefix('p', team, key)));
    assert.ok(legacyBlockObjectKey('p', team, key).startsWith(legacyBlockPrefix('p', team)));
    all.push(rawTailObjectKey('p', team, key), legacyBlockObjectKey('p', team, key));
    for (const objectKey of all) {
      assert.ok(objectKey.startsWith(namespaceObjectPrefix('p', team)), objectKey);
    }
  });

  it('of claims of room tell how much, and are in no namespace', () => {
    const name = '0123456789abcdef'.repeat(2);
    const claim = claimObjectKey('p', 1234, name);
    assert.equal(claim, `p/!claims/0000000000001234-${name}`);
    assert.ok(claim.startsWith(claimObjectPrefix('p')));
    assert.equal(parseClaimKey('p', claim), 1234);
    const most = claimObjectKey('', Number.MAX_SAFE_INTEGER, name);
    assert.equal(parseClaimKey('', most), Number.MAX_SAFE_INTEGER);
    for (const strange of [`${claim}0`, claim.replace('-', '_'), `q${claim.slice(1)}`]) {
      assert.equal(parseClaimKey('p', strange), undefined, strange);
    }
    assert.equal(parseClaimKey('p', `p/!claims/9999999999999999-${name}`), undefined);
    assert.equal(lastClaimantObjectKey('p'), 'p/!claims/last');
    assert.equal(parseClaimKey('p', lastClaimantObjectKey('p')), undefined);
    assert.notEqual(encodeNamespace(parseNamespace('!claims')), '!claims');
    assert.throws(() => claimObjectKey('p', -1, name), { name: 'AssertionError' });
  });

  it('have no leading slash under an empty prefix', () => {
    assert.equal(blockObjectKey('', team, key), `team-a/wombatkv/v2/block/8f/${key}`);
    assert.equal(namespaceObjectPrefix('', team), 'team-a/wombatkv/');
  });

  it('stay below the limit of an object key for the longest namespace', () => {
    const longest = parseNamespace('🐨'.repeat(20));
    const bytes = tailObjectKey('', longest, key, 0xffffffff, digest).length;
    assert.ok(bytes + 256 < limits.objectKeyBytesMax, `${bytes} bytes`);
    assert.ok(encodeNamespace(longest).length <= 255, 'fits one file name');
  });

  it('refuse a prefix with a slash at an end, and a token count that is none', () => {
    assert.throws(() => blockObjectKey('p/', team, key), { name: 'AssertionError' });
    assert.throws(() => blockObjectKey('/p', team, key), { name: 'AssertionError' });
    assert.throws(() => tailObjectKey('p', team, key, -1, digest), { name: 'AssertionError' });
  });
});

describe('parseObjectKey()', () => {
  it('reads back every kind of key', () => {
    for (const prefix of ['', 'kv/cabi']) {
      for (const [name] of hostile) {
        const namespace = parseNamespace(name);
        assert.deepEqual(parseObjectKey(prefix, blockObjectKey(prefix, namespace, key)), {
          kind: 'block',
          namespace,
          key,
        });
        assert.deepEqual(
          parseObjectKey(prefix, tailObjectKey(prefix, namespace, key, 77, digest)),
          {
            kind: 'tail',
            namespace,
            tip: key,
            tokens: 77,
            digest,
          },
        );
        assert.deepEqual(parseObjectKey(prefix, rawTailObjectKey(prefix, namespace, key)), {
          kind: 'raw-tail',
          namespace,
          tip: key,
        });
      }
    }
  });

  it('knows nothing else', () => {
    const block = `p/team-a/wombatkv/v2/block/8f/${key}`;
    const tail = `p/team-a/wombatkv/v2/tail/${key}`;
    const strangers = [
      '',
      'p',
      'p/',
      `q${block.slice(1)}`,
      block.slice(2),
      `${block}/`,
      `${block}.tmp`,
      block.toUpperCase(),
      block.replace('/8f/', '/00/'),
      block.replace('/8f/', '//'),
      block.replace('/8f/', '/8f2/'),
      block.replace('v2', 'v3'),
      block.replace('v2/block', 'v2/chunk'),
      block.replace('team-a', ''),
      block.replace('team-a', '..'),
      block.replace('team-a', 'team%2da'),
      block.replace('team-a', '%2D'),
      block.replace('team-a', '%C3'),
      block.replace('team-a', 'x'.repeat(81)),
      `${tail}/${digest}`,
      `${tail}/-${digest}`,
      `${tail}/01-${digest}`,
      `${tail}/+1-${digest}`,
      `${tail}/4294967296-${digest}`,
      `${tail}/1-${digest}-`,
      `p/team-a/wombatkv/v2/rawtail/${key}/x`,
      legacyBlockObjectKey('p', team, key),
      legacyRawTailObjectKey('p', team, key),
    ];
    for (const stranger of strangers) {
      assert.equal(parseObjectKey('p', stranger), undefined, stranger);
    }
  });

  it('takes any text', () => {
    fc.assert(fc.property(fc.string(), (text) => parseObjectKey('', text) === undefined));
  });
});

describe('namespaces in keys', () => {
  it('are one harmless part of the key, and come back', () => {
    for (const [name, encoded] of hostile) {
      assert.equal(encodeNamespace(parseNamespace(name)), encoded);
      assert.equal(decodeNamespace(encoded), name);
    }
  });

  it('encode to one form each, for any name', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        name.filter((text) => Buffer.byteLength(text) <= limits.namespaceBytesMax),
        (text) => {
          const encoded = encodeNamespace(parseNamespace(text));
          assert.match(encoded, /^(?:[A-Za-z0-9._-]|%[0-9A-F]{2})+$/);
          assert.ok(encoded !== '.' && encoded !== '..');
          assert.equal(decodeNamespace(encoded), text);
        },
      ),
    );
  });

  it('have no other form', () => {
    const others = ['', '.', '..', '%2e', '%41', '%', '%4', '%GG', '%FF', '%ED%A0%80', 'a/b', 'é'];
    for (const other of others) assert.equal(decodeNamespace(other), undefined, other);
  });

  it('stand in v1 keys as the Rust version wrote them, unless that reaches another namespace', () => {
    const spelled = (name: string): string => legacyBlockPrefix('p', parseNamespace(name));
    assert.equal(spelled('a b~é'), 'p/a b~é/wombatkv/v1/block/');
    assert.equal(spelled('a/b'), 'p/a%2Fb/wombatkv/v1/block/');
    assert.equal(spelled('a%2Fb'), 'p/a%252Fb/wombatkv/v1/block/');
    assert.equal(spelled('..'), 'p/%2E%2E/wombatkv/v1/block/');
    assert.equal(spelled('../x'), 'p/..%2Fx/wombatkv/v1/block/');
    assert.equal(spelled('a\u0000'), 'p/a%00/wombatkv/v1/block/');
  });
});
