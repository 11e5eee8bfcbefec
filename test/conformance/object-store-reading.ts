import assert from 'node:assert/strict';
import { bytesOf, rejectsWith } from './object-store-harness.ts';
import type { CaseBucket, ObjectStoreCase } from './object-store-harness.ts';

const mib = 1024 * 1024;
const alphabet = 'abcdefghijklmnopqrstuvwxyz';

/** The text of a range of the alphabet, as the bucket cuts it. */
async function rangeOfAlphabet(
  bucket: CaseBucket,
  range: { readonly offset: number; readonly length: number },
): Promise<string> {
  const key = await bucket.put('alphabet', alphabet);
  const body = await bucket.store.get(key, { range });
  assert.equal(body?.info.byteLength, alphabet.length, 'info is that of the whole object');
  return Buffer.from(body.bytes).toString('latin1');
}

/** 64 MiB in which no two pages are alike. */
function bigBody(): Uint8Array {
  const words = new Uint32Array((64 * mib) / 4);
  for (let at = 0; at < words.length; at += 1) words[at] = Math.imul(at, 0x9e3779b1);
  return new Uint8Array(words.buffer);
}

/** What get gives: bytes, ranges, memory, and what is told about an object. */
export const readingCases: readonly ObjectStoreCase[] = [
  {
    name: 'get gives the bytes that were put, and what they are',
    run: async (bucket) => {
      const key = await bucket.put('object', 'hello');
      const body = await bucket.store.get(key);
      assert.deepEqual(body?.bytes, bytesOf('hello'));
      assert.equal(body.info.key, key);
      assert.equal(body.info.byteLength, 5);
      assert.notEqual(body.info.etag, '');
      assert.ok(Math.abs(body.info.modifiedMs - Date.now()) < 24 * 3_600_000);
    },
  },
  {
    name: 'head tells what get tells',
    run: async (bucket) => {
      const key = await bucket.put('object', 'hello');
      const body = await bucket.store.get(key);
      assert.deepEqual(await bucket.store.head(key), body?.info);
    },
  },
  {
    name: 'an absent object is undefined, and allocate is not called for it',
    run: async (bucket) => {
      const key = bucket.key('absent/very/far');
      assert.equal(await bucket.store.head(key), undefined);
      const allocate = (): never => assert.fail('allocate was called');
      assert.equal(await bucket.store.get(key, { allocate }), undefined);
      const range = { offset: 0, length: 0 };
      assert.equal(await bucket.store.get(key, { range }), undefined);
    },
  },
  {
    name: 'a range inside the object',
    run: async (bucket) => {
      assert.equal(await rangeOfAlphabet(bucket, { offset: 2, length: 3 }), 'cde');
    },
  },
  {
    name: 'a range is cut at the end of the object',
    run: async (bucket) => {
      assert.equal(await rangeOfAlphabet(bucket, { offset: 24, length: 100 }), 'yz');
      assert.equal(await rangeOfAlphabet(bucket, { offset: 0, length: 2 ** 40 }), alphabet);
    },
  },
  {
    name: 'a range that begins at or past the end is empty',
    run: async (bucket) => {
      assert.equal(await rangeOfAlphabet(bucket, { offset: 26, length: 1 }), '');
      assert.equal(await rangeOfAlphabet(bucket, { offset: 1000, length: 10 }), '');
      assert.equal(await rangeOfAlphabet(bucket, { offset: 2 ** 50, length: 2 ** 50 }), '');
    },
  },
  {
    name: 'a range of no bytes is empty',
    run: async (bucket) => {
      assert.equal(await rangeOfAlphabet(bucket, { offset: 0, length: 0 }), '');
      assert.equal(await rangeOfAlphabet(bucket, { offset: 5, length: 0 }), '');
    },
  },
  {
    name: 'an object of the tag that the caller has is unchanged, and no bytes come',
    run: async (bucket) => {
      const key = await bucket.put('object', alphabet);
      const { etag } = await bucket.info(key);
      const allocate = (): never => assert.fail('allocate was called');
      const same = await bucket.store.get(key, { unlessEtag: etag, allocate });
      assert.deepEqual([same?.isUnchanged, same?.bytes.length], [true, 0]);
      assert.deepEqual([same?.info.key, same?.info.etag], [key, etag]);
      await bucket.put('object', 'another');
      const other = await bucket.store.get(key, { unlessEtag: etag });
      assert.deepEqual([other?.isUnchanged, other?.info.byteLength], [undefined, 7]);
      assert.deepEqual(other?.bytes, bytesOf('another'));
      await bucket.store.delete(key);
      assert.equal(await bucket.store.get(key, { unlessEtag: etag }), undefined);
      const range = { offset: 0, length: 1 };
      await rejectsWith('INVALID', bucket.store.get(key, { unlessEtag: etag, range }));
    },
  },
  {
    name: 'a range may be the last bytes or all of the object',
    run: async (bucket) => {
      assert.equal(await rangeOfAlphabet(bucket, { offset: 25, length: 1 }), 'z');
      assert.equal(await rangeOfAlphabet(bucket, { offset: 0, length: 26 }), alphabet);
    },
  },
  {
    name: 'an empty object has a head, no bytes, and empty ranges',
    run: async (bucket) => {
      const key = await bucket.put('empty', '');
      assert.equal((await bucket.info(key)).byteLength, 0);
      assert.equal((await bucket.store.get(key))?.bytes.length, 0);
      const range = { offset: 0, length: 10 };
      assert.equal((await bucket.store.get(key, { range }))?.bytes.length, 0);
      assert.equal((await bucket.store.put(bucket.key('no-parts'), [])).outcome, 'stored');
      assert.equal((await bucket.info(bucket.key('no-parts'))).byteLength, 0);
    },
  },
  {
    name: 'a body of 64 MiB comes back whole and in ranges',
    run: async (bucket) => {
      const content = bigBody();
      const key = await bucket.put('big', content);
      const body = await bucket.store.get(key);
      assert.ok(Buffer.from(content.buffer).equals(body?.bytes ?? new Uint8Array(0)));
      const range = { offset: 33 * mib + 5, length: 9 * mib };
      const part = await bucket.store.get(key, { range });
      const expected = Buffer.from(content.buffer, range.offset, range.length);
      assert.ok(expected.equals(part?.bytes ?? new Uint8Array(0)));
    },
  },
  {
    name: 'allocate is called once with the exact number of bytes, and its memory is filled',
    run: async (bucket) => {
      const key = await bucket.put('object', alphabet);
      const empty = await bucket.put('empty', '');
      const asked = async (
        of: typeof key,
        range?: { offset: number; length: number },
      ): Promise<number[]> => {
        const sizes: number[] = [];
        let given = new Uint8Array(0);
        const allocate = (byteLength: number): Uint8Array => {
          sizes.push(byteLength);
          given = new Uint8Array(byteLength);
          return given;
        };
        const body = await bucket.store.get(of, { range, allocate });
        assert.equal(body?.bytes, given, 'the body is the memory that allocate gave');
        return sizes;
      };
      assert.deepEqual(await asked(key), [26]);
      assert.deepEqual(await asked(key, { offset: 3, length: 4 }), [4]);
      assert.deepEqual(await asked(key, { offset: 20, length: 400 }), [6]);
      assert.deepEqual(await asked(key, { offset: 200, length: 4 }), [0]);
      assert.deepEqual(await asked(empty), [0]);
    },
  },
  {
    name: 'get rejects with what allocate threw',
    run: async (bucket) => {
      const key = await bucket.put('object', alphabet);
      const refusal = Object.assign(new Error('no room'), { code: 'ENOSPC' });
      const allocate = (): never => {
        throw refusal;
      };
      await assert.rejects(bucket.store.get(key, { allocate }), (error) => error === refusal);
      await rejectsWith('INVALID', bucket.store.get(key, { allocate: () => new Uint8Array(25) }));
      await rejectsWith('INVALID', bucket.store.get(key, { allocate: () => new Uint8Array(27) }));
      assert.equal(await bucket.text(key), alphabet, 'the next get is not harmed');
    },
  },
  {
    name: 'bodies may come from and go to views of shared memory',
    run: async (bucket) => {
      const from = new Uint8Array(new SharedArrayBuffer(300)).fill(1).subarray(100, 200).fill(2);
      const key = bucket.key('shared');
      await bucket.store.put(key, [from.subarray(0, 50), from.subarray(50)]);
      const slab = new Uint8Array(new SharedArrayBuffer(300));
      const body = await bucket.store.get(key, { allocate: (n) => slab.subarray(7, 7 + n) });
      assert.equal(body?.bytes.length, 100);
      const expected = new Uint8Array(300).fill(2, 7, 107);
      assert.deepEqual(Array.from(slab), Array.from(expected), 'nothing beside it is touched');
    },
  },
  {
    name: 'the bucket keeps bytes of its own',
    run: async (bucket) => {
      const content = bytesOf('original');
      const key = await bucket.put('object', content);
      content.fill(0);
      const body = await bucket.store.get(key);
      assert.deepEqual(body?.bytes, bytesOf('original'));
      body.bytes.fill(1);
      assert.equal(await bucket.text(key), 'original');
    },
  },
];
