import assert from 'node:assert/strict';
import { mapBounded } from '../../src/base/map-bounded.ts';
import { seededRandom } from '../support/random.ts';
import type { CaseBucket, ObjectStoreCase } from './object-store-harness.ts';

function inByteOrder(names: readonly string[]): string[] {
  return names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

async function putAll(bucket: CaseBucket, names: readonly string[]): Promise<void> {
  await mapBounded(names, 16, (name) => bucket.put(name, name));
}

/** Distinct names of short odd parts, so that many share beginnings and sort around `/`. */
function oddNames(count: number): string[] {
  const random = seededRandom('odd names');
  const pieces = ['a', 'b', '.', '-', '/', '0', '~', ' ', 'é', '🦘', '%', '\u0001', 'x'.repeat(83)];
  const names = new Set<string>();
  while (names.size < count) {
    let name = '';
    for (let left = 1 + random.below(6); left > 0; left -= 1) {
      name += pieces[random.below(pieces.length)] ?? '';
    }
    names.add(name);
  }
  return [...names];
}

async function page(
  bucket: CaseBucket,
  options: { prefix?: string; startAfter?: string | undefined; limit?: number } = {},
): Promise<{ names: string[]; isTruncated: boolean }> {
  const { prefix = '', startAfter, limit } = options;
  const listed = await bucket.store.list(`${bucket.prefix}${prefix}`, {
    startAfter: startAfter === undefined ? undefined : `${bucket.prefix}${startAfter}`,
    limit,
  });
  const names = listed.objects.map(({ key }) => key.slice(bucket.prefix.length));
  return { names, isTruncated: listed.isTruncated };
}

/** Lists: order, pages, prefixes, and what a list knows. */
export const listingCases: readonly ObjectStoreCase[] = [
  {
    name: 'a list of nothing is empty',
    run: async (bucket) => {
      assert.deepEqual(await page(bucket), { names: [], isTruncated: false });
      const deep = await page(bucket, { prefix: 'no/such/place/at/all', startAfter: 'x' });
      assert.deepEqual(deep, { names: [], isTruncated: false });
    },
  },
  {
    name: 'a list tells of each object what head tells',
    run: async (bucket) => {
      await putAll(bucket, ['one', 'two/three', 'two/four']);
      const listed = await bucket.store.list(bucket.prefix);
      assert.equal(listed.objects.length, 3);
      for (const info of listed.objects) assert.deepEqual(await bucket.store.head(info.key), info);
    },
  },
  {
    name: 'keys come in byte order of whole keys, not of their parts',
    run: async (bucket) => {
      const names = [
        'a',
        'a b',
        'a!',
        'a-b',
        'a.b',
        'a/',
        'a/b',
        'a/b.c',
        'a/b/c',
        'a0',
        'aa',
        'b',
      ];
      await putAll(bucket, names.toReversed());
      assert.deepEqual(await bucket.names(), names);
    },
  },
  {
    name: 'keys come in the order of UTF-8, which is not that of UTF-16',
    run: async (bucket) => {
      const names = [
        'Z',
        'z',
        '\u007f',
        'é',
        '\ud7ff',
        '\ue000',
        '\uffff',
        '\u{10000}',
        '\u{10ffff}',
      ];
      await putAll(bucket, names.toReversed());
      assert.deepEqual(await bucket.names(), names);
      assert.deepEqual((await page(bucket, { startAfter: '\uffff' })).names, names.slice(7));
    },
  },
  {
    name: 'pages of any size give 1,200 odd keys once each and in order',
    run: async (bucket) => {
      const names = inByteOrder(oddNames(1200));
      await putAll(bucket, names);
      assert.deepEqual(await bucket.names(), names);
      assert.deepEqual(await bucket.names('', 999), names);
      assert.deepEqual(await bucket.names('', 83), names);
      const prefixes = new Set(names.map((name) => [...name].slice(0, 2).join('')));
      for (const prefix of [...prefixes].slice(0, 40)) {
        const expected = names.filter((name) => name.startsWith(prefix));
        assert.deepEqual(await bucket.names(prefix), expected, `prefix ${prefix}`);
      }
      for (let at = 3; at < names.length; at += 101) {
        const { names: some } = await page(bucket, { startAfter: names[at], limit: 5 });
        assert.deepEqual(some, names.slice(at + 1, at + 6), `after ${names[at]}`);
      }
    },
  },
  {
    name: 'a page has at most 1000 objects, or as many as asked for',
    run: async (bucket) => {
      const names = Array.from({ length: 1001 }, (_, i) => `${i}`.padStart(4, '0'));
      await putAll(bucket, names);
      assert.deepEqual(await page(bucket), { names: names.slice(0, 1000), isTruncated: true });
      const last = await page(bucket, { startAfter: '0999' });
      assert.deepEqual(last, { names: ['1000'], isTruncated: false });
      const one = await page(bucket, { limit: 1 });
      assert.deepEqual(one, { names: ['0000'], isTruncated: true });
    },
  },
  {
    name: 'a page that ends with the last object is not truncated',
    run: async (bucket) => {
      await putAll(bucket, ['a', 'b/c', 'd']);
      assert.equal((await page(bucket, { limit: 3 })).isTruncated, false);
      assert.equal((await page(bucket, { limit: 2 })).isTruncated, true);
      assert.equal((await page(bucket, { startAfter: 'a', limit: 2 })).isTruncated, false);
    },
  },
  {
    name: 'startAfter leaves out the key itself and need not exist',
    run: async (bucket) => {
      await putAll(bucket, ['a', 'b', 'b/c', 'd']);
      const after = async (startAfter: string): Promise<string[]> =>
        (await page(bucket, { startAfter })).names;
      assert.deepEqual(await after('a'), ['b', 'b/c', 'd']);
      assert.deepEqual(await after('b'), ['b/c', 'd']);
      assert.deepEqual(await after('b/'), ['b/c', 'd']);
      assert.deepEqual(await after('b/c'), ['d']);
      assert.deepEqual(await after('b/cc'), ['d']);
      assert.deepEqual(await after('c'), ['d']);
      assert.deepEqual(await after('d'), []);
      assert.deepEqual(await after('zzz'), []);
    },
  },
  {
    name: 'startAfter outside the prefix leaves out all or nothing',
    run: async (bucket) => {
      await putAll(bucket, ['a/1', 'b/1', 'b/2', 'c/1']);
      const before = await page(bucket, { prefix: 'b/', startAfter: 'a/9' });
      assert.deepEqual(before.names, ['b/1', 'b/2']);
      const within = await page(bucket, { prefix: 'b/', startAfter: 'b/1' });
      assert.deepEqual(within.names, ['b/2']);
      const behind = await page(bucket, { prefix: 'b/', startAfter: 'c' });
      assert.deepEqual(behind, { names: [], isTruncated: false });
    },
  },
  {
    name: 'a prefix may end anywhere in a name',
    run: async (bucket) => {
      const long = 'y'.repeat(200);
      const names = ['ab', 'ab/c', 'abc', 'abc/d', 'abd', `${long}1`, `${long}2/x`];
      await putAll(bucket, names);
      const of = async (prefix: string): Promise<string[]> =>
        (await page(bucket, { prefix })).names;
      assert.deepEqual(await of('a'), ['ab', 'ab/c', 'abc', 'abc/d', 'abd']);
      assert.deepEqual(await of('ab'), ['ab', 'ab/c', 'abc', 'abc/d', 'abd']);
      assert.deepEqual(await of('abc'), ['abc', 'abc/d']);
      assert.deepEqual(await of('abc/'), ['abc/d']);
      assert.deepEqual(await of('abc/d'), ['abc/d']);
      assert.deepEqual(await of('abc/de'), []);
      assert.deepEqual(await of('b'), []);
      for (const length of [1, 83, 84, 85, 167, 168, 169, 200]) {
        assert.deepEqual(await of('y'.repeat(length)), [`${long}1`, `${long}2/x`], `${length}`);
      }
      assert.deepEqual(await of(`${long}2`), [`${long}2/x`]);
    },
  },
  {
    name: 'a list shows every put and delete that came before it',
    run: async (bucket) => {
      for (let round = 0; round < 10; round += 1) {
        const key = await bucket.put(`in/turn/${round}`, 'x'.repeat(round));
        const [first] = (await bucket.store.list(key)).objects;
        assert.deepEqual(first, await bucket.info(key));
        await bucket.store.delete(key);
        assert.deepEqual(await bucket.names(), []);
      }
      const key = await bucket.put('replaced', 'old');
      await bucket.put('replaced', 'the new one');
      assert.deepEqual((await bucket.store.list(bucket.prefix)).objects, [await bucket.info(key)]);
    },
  },
  {
    name: 'pages go on where they were when objects come and go between them',
    run: async (bucket) => {
      const names = Array.from({ length: 30 }, (_, i) => `${10 + i}/object`);
      await putAll(bucket, names);
      const first = await page(bucket, { limit: 10 });
      for (const name of names.slice(0, 15)) await bucket.store.delete(bucket.key(name));
      await putAll(bucket, ['00/before', '24/later']);
      const second = await page(bucket, { startAfter: first.names.at(-1), limit: 10 });
      assert.deepEqual(second.names, ['24/later', ...names.slice(15, 24)].toSorted());
      assert.equal(second.isTruncated, true);
      const third = await page(bucket, { startAfter: second.names.at(-1), limit: 10 });
      assert.deepEqual(third, { names: names.slice(24), isTruncated: false });
    },
  },
  {
    name: 'a list during puts and deletes fails never and shows what stays',
    run: async (bucket) => {
      const staying = ['a/stays', 'm/stays', 'z/stays'];
      await putAll(bucket, staying);
      let isChanging = true;
      const change = async (id: number): Promise<void> => {
        for (let round = 0; round < 12; round += 1) {
          await bucket.put(`m/${id}/x`, 'x');
          await bucket.store.delete(bucket.key(`m/${id}/x`));
        }
      };
      const watch = async (): Promise<void> => {
        while (isChanging) {
          const names = await bucket.names('', 3);
          assert.deepEqual(names, inByteOrder(names));
          for (const name of staying) assert.ok(names.includes(name), name);
        }
      };
      const watching = [watch(), watch()];
      try {
        await Promise.all([change(1), change(2), change(3)]);
      } finally {
        isChanging = false;
      }
      await Promise.all(watching);
    },
  },
];
