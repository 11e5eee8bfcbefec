import assert from 'node:assert/strict';
import { StoreError } from '../../src/base/errors.ts';
import type { ObjectKey } from '../../src/objectstore/object-store.ts';
import { bytesOf } from './object-store-harness.ts';
import type { CaseBucket, ObjectStoreCase } from './object-store-harness.ts';

const ifAbsent = { condition: { kind: 'if-absent' } } as const;

function ifMatch(etag: string): { readonly condition: { kind: 'if-match'; etag: string } } {
  return { condition: { kind: 'if-match', etag } };
}

/** Adds one to the number in the object by get and if-match, trying again until it is stored. */
async function increment(bucket: CaseBucket, key: ObjectKey): Promise<void> {
  for (;;) {
    const body = await bucket.store.get(key);
    assert.ok(body !== undefined);
    const next = Number(Buffer.from(body.bytes).toString()) + 1;
    const options = ifMatch(body.info.etag);
    const { outcome } = await bucket.store.put(key, [bytesOf(`${next}`)], options);
    if (outcome === 'stored') return;
    assert.equal(outcome, 'changed');
  }
}

/** A body that tells whether it is whole: its length and all its bytes follow from `version`. */
function versionedBody(version: number): Uint8Array {
  return new Uint8Array(1 + version * 50_021).fill(version);
}

function requireWhole(bytes: Uint8Array): void {
  const version = bytes[0] ?? -1;
  assert.equal(bytes.length, versionedBody(version).length, 'length of the version');
  assert.ok(Buffer.from(bytes).equals(versionedBody(version)), 'every byte of the version');
}

/** Puts, conditions, races and deletes. */
export const writingCases: readonly ObjectStoreCase[] = [
  {
    name: 'put joins its parts in order',
    run: async (bucket) => {
      const parts = Array.from({ length: 3000 }, (_, i) => bytesOf(i % 3 === 0 ? '' : `${i},`));
      const key = bucket.key('parts');
      assert.equal((await bucket.store.put(key, parts)).outcome, 'stored');
      assert.equal(await bucket.text(key), Buffer.concat(parts).toString());
    },
  },
  {
    name: 'put replaces the object, longer or shorter',
    run: async (bucket) => {
      const key = await bucket.put('object', 'first');
      await bucket.put('object', 'the second one');
      assert.equal(await bucket.text(key), 'the second one');
      await bucket.put('object', '3');
      assert.equal(await bucket.text(key), '3');
    },
  },
  {
    name: 'the tag changes whenever the bytes do, also when length and moment are the same',
    run: async (bucket) => {
      const key = bucket.key('object');
      const tags = new Set<string>();
      for (let round = 0; round < 30; round += 1) {
        await bucket.store.put(key, [bytesOf(`version ${round + 10}`)]);
        tags.add((await bucket.info(key)).etag);
        if (round % 10 === 9) await bucket.store.delete(key);
      }
      assert.equal(tags.size, 30);
    },
  },
  {
    name: 'the tag stays while the object does',
    run: async (bucket) => {
      const key = await bucket.put('object', 'bytes');
      const { etag } = await bucket.info(key);
      await bucket.put('object-beside', 'bytes');
      await bucket.store.put(key, [bytesOf('other')], ifAbsent);
      await bucket.store.get(key);
      assert.equal((await bucket.info(key)).etag, etag);
    },
  },
  {
    name: 'if-absent stores once and then finds the object present and unchanged',
    run: async (bucket) => {
      const key = bucket.key('object');
      const first = await bucket.store.put(key, [bytesOf('first')], ifAbsent);
      assert.deepEqual(first, { outcome: 'stored' });
      const before = await bucket.info(key);
      const second = await bucket.store.put(key, [bytesOf('second')], ifAbsent);
      assert.deepEqual(second, { outcome: 'present' });
      assert.equal(await bucket.text(key), 'first');
      assert.deepEqual(await bucket.info(key), before);
    },
  },
  {
    name: 'if-absent stores again after a delete',
    run: async (bucket) => {
      const key = await bucket.put('object', 'first');
      await bucket.store.delete(key);
      const again = await bucket.store.put(key, [bytesOf('second')], ifAbsent);
      assert.deepEqual(again, { outcome: 'stored' });
      assert.equal(await bucket.text(key), 'second');
    },
  },
  {
    name: 'a put without a condition tells the tag of its object',
    run: async (bucket) => {
      // The longer one goes in parts where the harness has them so small.
      for (const byteLength of [5, 4 * 1024 * 1024]) {
        const key = bucket.key(`told-${byteLength}`);
        const result = await bucket.store.put(key, [new Uint8Array(byteLength)]);
        assert.deepEqual(result, { outcome: 'stored', etag: (await bucket.info(key)).etag });
        const again = await bucket.store.put(key, [new Uint8Array(byteLength).fill(1)]);
        assert.notEqual(again.etag, result.etag);
        assert.deepEqual(again, { outcome: 'stored', etag: (await bucket.info(key)).etag });
      }
    },
  },
  {
    name: 'if-match stores over the object of the tag',
    run: async (bucket) => {
      const key = await bucket.put('object', 'first');
      const { etag } = await bucket.info(key);
      const result = await bucket.store.put(key, [bytesOf('second')], ifMatch(etag));
      assert.deepEqual(result, { outcome: 'stored' });
      assert.equal(await bucket.text(key), 'second');
    },
  },
  {
    name: 'if-match leaves an object of another tag as it is',
    run: async (bucket) => {
      const key = await bucket.put('object', 'first');
      const { etag } = await bucket.info(key);
      await bucket.put('object', 'other');
      const result = await bucket.store.put(key, [bytesOf('second')], ifMatch(etag));
      assert.deepEqual(result, { outcome: 'changed' });
      assert.equal(await bucket.text(key), 'other');
    },
  },
  {
    name: 'if-match finds an absent object changed and does not make it',
    run: async (bucket) => {
      const key = await bucket.put('object', 'first');
      const { etag } = await bucket.info(key);
      await bucket.store.delete(key);
      const result = await bucket.store.put(key, [bytesOf('second')], ifMatch(etag));
      assert.deepEqual(result, { outcome: 'changed' });
      assert.equal(await bucket.store.head(key), undefined);
    },
  },
  {
    name: 'of 16 if-absent puts by 16 processes exactly one stores',
    run: async (bucket) => {
      const key = bucket.key('raced/in/a/new/directory');
      const race = { key, contenders: 16, byteLength: 300_000, ...ifAbsent };
      const outcomes = await bucket.harness.racePuts(bucket.store, race);
      const winner = outcomes.indexOf('stored');
      assert.deepEqual(outcomes.toSorted(), [...Array<string>(15).fill('present'), 'stored']);
      const body = await bucket.store.get(key);
      assert.ok(body?.bytes.length === 300_000 && body.bytes.every((byte) => byte === winner));
    },
  },
  {
    name: 'of 6 if-match puts of one tag by 6 processes exactly one stores',
    run: async (bucket) => {
      const key = await bucket.put('raced', 'first');
      const { etag } = await bucket.info(key);
      const race = { key, contenders: 6, byteLength: 1000, ...ifMatch(etag) };
      const outcomes = await bucket.harness.racePuts(bucket.store, race);
      const winner = outcomes.indexOf('stored');
      assert.deepEqual(outcomes.toSorted(), [...Array<string>(5).fill('changed'), 'stored']);
      const body = await bucket.store.get(key);
      assert.ok(body?.bytes.length === 1000 && body.bytes.every((byte) => byte === winner));
    },
  },
  {
    name: 'if-match loses no update of four writers',
    run: async (bucket) => {
      const key = await bucket.put('counter', '0');
      const writer = async (): Promise<void> => {
        for (let count = 0; count < 10; count += 1) await increment(bucket, key);
      };
      await Promise.all([writer(), writer(), writer(), writer()]);
      assert.equal(await bucket.text(key), '40');
    },
  },
  {
    name: 'get never gives part of an object while others replace it',
    run: async (bucket) => {
      const key = await bucket.put('object', versionedBody(1));
      let isWriting = true;
      const writer = async (first: number): Promise<void> => {
        for (let round = 0; round < 15; round += 1) {
          await bucket.store.put(key, [versionedBody(first + (round % 8))]);
        }
      };
      const reader = async (): Promise<number> => {
        let reads = 0;
        for (; isWriting; reads += 1) {
          const body = await bucket.store.get(key);
          assert.ok(body !== undefined);
          requireWhole(body.bytes);
          assert.equal(body.info.byteLength, body.bytes.length);
        }
        return reads;
      };
      const readers = [reader(), reader(), reader()];
      try {
        await Promise.all([writer(1), writer(5)]);
      } finally {
        isWriting = false;
      }
      assert.ok((await Promise.all(readers)).every((reads) => reads > 0));
    },
  },
  {
    name: 'a reader sees an object whole or not at all while it is made and deleted',
    run: async (bucket) => {
      const key = bucket.key('object');
      let isWriting = true;
      const reader = async (): Promise<void> => {
        while (isWriting) {
          const body = await bucket.store.get(key);
          if (body !== undefined) requireWhole(body.bytes);
        }
      };
      const readers = [reader(), reader()];
      try {
        for (let round = 1; round <= 15; round += 1) {
          await bucket.store.put(key, [versionedBody(round % 7)], ifAbsent);
          await bucket.store.delete(key);
        }
      } finally {
        isWriting = false;
      }
      await Promise.all(readers);
    },
  },
  {
    name: 'delete removes the object and resolves also when there is none',
    run: async (bucket) => {
      const key = await bucket.put('object', 'bytes');
      await bucket.store.delete(key);
      assert.equal(await bucket.store.get(key), undefined);
      assert.equal(await bucket.store.head(key), undefined);
      await bucket.store.delete(key);
      await bucket.store.delete(bucket.key('never/was'));
    },
  },
  {
    name: 'delete leaves the neighbours of the object',
    run: async (bucket) => {
      for (const name of ['a', 'a/b', 'a/b/c', 'a.b', 'a/', 'aa']) await bucket.put(name, name);
      await bucket.store.delete(bucket.key('a/b'));
      assert.deepEqual(await bucket.names(), ['a', 'a.b', 'a/', 'a/b/c', 'aa']);
      assert.equal(await bucket.text(bucket.key('a/b/c')), 'a/b/c');
    },
  },
  {
    name: 'puts and deletes below one new prefix do not disturb each other',
    run: async (bucket) => {
      const worker = async (id: number): Promise<void> => {
        for (let round = 0; round < 15; round += 1) {
          const key = await bucket.put(`shared/by/all/${id}`, `${id} ${round}`);
          assert.equal(await bucket.text(key), `${id} ${round}`);
          await bucket.store.delete(key);
        }
      };
      await Promise.all(Array.from({ length: 8 }, (_, id) => worker(id)));
      assert.deepEqual(await bucket.names(), []);
    },
  },
  {
    name: 'an error is a StoreError with a code and names the key',
    run: async (bucket) => {
      const key = await bucket.put('object', 'bytes');
      const signal = AbortSignal.abort(new Error('the reason'));
      const error = await bucket.store.get(key, { signal }).then(
        () => assert.fail('resolved'),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, 'ABORTED');
      assert.match(error.message, new RegExp(key));
      assert.equal(error.cause, signal.reason);
    },
  },
];
