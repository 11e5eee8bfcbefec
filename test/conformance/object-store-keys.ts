import assert from 'node:assert/strict';
import type { ObjectKey } from '../../src/objectstore/object-store.ts';
import { rejectsWith } from './object-store-harness.ts';
import type { CaseBucket, ObjectStoreCase } from './object-store-harness.ts';

const hex = '0123456789abcdef'.repeat(4);

/** Names that file systems, URLs, XML or shells treat specially, many of them alike. */
export const unusualNames: readonly string[] = [
  ...['a', 'a/b', 'a/b/c', 'a/', 'a//', 'a//b', '/', '//', '/a', ' ', 'a b', 'a+b', ' a ', 'A'],
  ...['.', '..', '...', './a', '../a', 'a/.', 'a/..', 'a/./b', 'a/../b', '.a', 'a.', '.tmp/put-1'],
  ...[
    '%',
    '%%',
    '%2F',
    'a%2Fb',
    'a%2fb',
    '%o',
    '%d',
    '%c',
    'a%o',
    'a%o/b',
    'a%d',
    'a%d/b',
    'a%c/b',
  ],
  ...['%61', 'a%', '%zz', '%00', 'a?b', 'a#b', 'a&b=c', 'a=b', 'a;b', 'a:b', 'a@b', 'a,b', 'a*b'],
  ...['"', "'", '`', '<a>', '&amp;', '\\', 'a\\b', '|', '$HOME', '~', '!', '(', '[', '{', '^'],
  ...['\t', 'a\nb', 'a\r\nb', '\u0001', '\u007f', '\u0080', '\u00a0', '\u200b', '\ufeff', '\ufffd'],
  ...['é', 'e\u0301', 'ß', 'ﬁ', '日本語/キー', 'Ω', 'שלום', '🦘', '🦘/🧸', '\uffff', '\u{10ffff}'],
  ...[
    hex,
    `${hex}/a`,
    `${hex}/${hex}`,
    `b3=${hex}`,
    `b3=${hex}/b3=${hex}`,
    `128-${hex}`,
    `${hex}%o`,
  ],
  ...['con', 'nul.txt', 'lost+found', '-rf', 'x'.repeat(83), 'x'.repeat(84), 'x'.repeat(85)],
  ...[
    `${'x'.repeat(84)}/y`,
    `${'x'.repeat(84)}.y`,
    'x'.repeat(255),
    'x'.repeat(256),
    'x'.repeat(900),
  ],
  ...[`${'x'.repeat(168)}/${'y'.repeat(168)}`, `${'é'.repeat(200)}/${'é'.repeat(200)}`],
];

/** Names that make keys of exactly 1024 bytes, of the cheapest and the dearest characters. */
function longestNames(bucket: CaseBucket): readonly string[] {
  const room = 1024 - Buffer.byteLength(bucket.prefix);
  return ['x', '/', '%', '.', 'x/', './', '\u0001', 'é', '日', '🦘'].map((unit) => {
    const name = unit.repeat(Math.floor(room / Buffer.byteLength(unit)));
    return name + 'x'.repeat(room - Buffer.byteLength(name));
  });
}

const notKeys: readonly string[] = [
  '',
  'x'.repeat(1025),
  'é'.repeat(513),
  'a\0b',
  '\ud800',
  'a\udc00',
];

/** Keys: everything that is one works and is its own; everything else is refused. */
export const keyCases: readonly ObjectStoreCase[] = [
  {
    name: 'every unusual key holds an object of its own',
    run: async (bucket) => {
      for (const name of unusualNames) await bucket.put(name, `body of ${name}`);
      for (const name of unusualNames) {
        const key = bucket.key(name);
        assert.equal(await bucket.text(key), `body of ${name}`);
        assert.equal((await bucket.info(key)).key, key);
      }
      const names = await bucket.names('', 7);
      assert.deepEqual(names.toSorted(), unusualNames.toSorted());
      for (const name of unusualNames) await bucket.store.delete(bucket.key(name));
      assert.deepEqual(await bucket.names(), []);
    },
  },
  {
    name: 'keys of 1024 bytes work, whatever their characters',
    run: async (bucket) => {
      const names = longestNames(bucket);
      for (const name of names) {
        assert.equal(Buffer.byteLength(bucket.key(name)), 1024);
        await bucket.put(name, name);
      }
      for (const name of names) assert.equal(await bucket.text(bucket.key(name)), name);
      assert.deepEqual((await bucket.names()).toSorted(), names.toSorted());
      for (const name of names) await bucket.store.delete(bucket.key(name));
      assert.deepEqual(await bucket.names(), []);
    },
  },
  {
    name: 'an object and objects below its key live side by side',
    run: async (bucket) => {
      for (const name of ['a/b', 'a', 'a/b/c', 'a/', 'a//']) await bucket.put(name, name);
      for (const name of ['a', 'a/', 'a/b', 'a/b/c', 'a//']) {
        assert.equal(await bucket.text(bucket.key(name)), name);
      }
      assert.deepEqual(await bucket.names(), ['a', 'a/', 'a//', 'a/b', 'a/b/c']);
    },
  },
  {
    name: 'a text that is no key is INVALID in every call',
    run: async ({ store }) => {
      for (const text of notKeys) {
        const key = text as ObjectKey;
        await rejectsWith('INVALID', store.put(key, []));
        await rejectsWith('INVALID', store.get(key));
        await rejectsWith('INVALID', store.head(key));
        await rejectsWith('INVALID', store.delete(key));
      }
    },
  },
  {
    name: 'ranges, limits and prefixes that make no sense are INVALID',
    run: async (bucket) => {
      const { store } = bucket;
      const key = await bucket.put('object', 'bytes');
      for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
        await rejectsWith('INVALID', store.get(key, { range: { offset: value, length: 1 } }));
        await rejectsWith('INVALID', store.get(key, { range: { offset: 0, length: value } }));
      }
      for (const limit of [0, -1, 1001, 1.5, Number.NaN]) {
        await rejectsWith('INVALID', store.list('', { limit }));
      }
      for (const text of ['a\0b', '\ud800', 'x'.repeat(1025)]) {
        await rejectsWith('INVALID', store.list(text));
        await rejectsWith('INVALID', store.list('', { startAfter: text }));
      }
    },
  },
];
