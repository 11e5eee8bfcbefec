import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError, StoreError } from '../../src/base/errors.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { encodeNamespace } from '../../src/format/object-keys.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { bulkParts, encodeBulkHead, payloadBytesOf } from '../../src/protocol/http1-bulk.ts';
import type { BulkHead } from '../../src/protocol/http1-bulk.ts';
import { httpDate } from '../../src/protocol/http1-date.ts';
import { encodePathNamespace, operationPath, parsePath } from '../../src/protocol/http1-paths.ts';
import { BulkSink, CollectSink } from '../../src/protocol/http1-sink.ts';
import { feedBulk } from '../support/feed-bulk.ts';

const key = parseBlockKey('00112233445566778899aabbccddeeff'.repeat(2));
const head: BulkHead = {
  records: [
    { ...{ key, byteLength: 0, tokens: 0, position: undefined }, ...flags(true), isLeftOut: true },
    { ...{ key, byteLength: 9, tokens: 128, position: 256 }, ...flags(false), isLeftOut: false },
    { ...{ key, byteLength: 0, tokens: 1, position: 0 }, ...flags(true), isLeftOut: false },
  ],
  attributes: { reason: 'unknown' },
};
const payloads = [Buffer.from('123456789'), new Uint8Array(0)].map((payload) => ({ payload }));

function flags(hasDecodedTokens: boolean): { hasDecodedTokens: boolean; tier: 'disk' | undefined } {
  return { hasDecodedTokens, tier: hasDecodedTokens ? undefined : 'disk' };
}

/** The same with two payloads that can be told apart, which come from the last to the first. */
const lastFirst: BulkHead = {
  records: [head.records[0], head.records[1], { ...head.records[2], byteLength: 2 }],
  attributes: {},
  isLastFirst: true,
};
const reversed = [Buffer.from('ab'), Buffer.from('123456789')].map((payload) => ({ payload }));

function encoded(): Buffer {
  return Buffer.concat([...bulkParts(encodeBulkHead(head), payloads)]);
}

function read(bytes: Uint8Array, step: number, byteLength?: number): BulkSink {
  const sink = new BulkSink(
    ({ records }) => ({ take: (index) => new Uint8Array(records[index].byteLength) }),
    byteLength,
  );
  feedBulk(sink, bytes, step);
  return sink;
}

/** Drawn by hand from docs/HTTP.md; the checksums by another program (Python, table of Castagnoli). */
const headChecksum = '39da5cd1';
const golden =
  // prettier-ignore

  '574d425448545031' + '03000000' + '14000000' + 'HEADCRC_' + '00000000' +
  `${key}00000000` + '00000000' + 'ffffffff' + '03000000' + '00000000' + '00'.repeat(12) +
  `${key}09000000` + '80000000' + '00010000' + '00000000' + '02000000' + '00'.repeat(12) +
  `${key}00000000` + '01000000' + '00000000' + '01000000' + '00000000' + '00'.repeat(12) +
  Buffer.from('{"reason":"unknown"}').toString('hex') +
  '313233343536373839' + '839206e3' + '00000000';

/** The same of version 2. */
const lastFirstGolden =
  // prettier-ignore

  '574d425448545032' + '03000000' + '02000000' + '9f9d52a4' + '00000000' +
  `${key}00000000` + '00000000' + 'ffffffff' + '03000000' + '00000000' + '00'.repeat(12) +
  `${key}09000000` + '80000000' + '00010000' + '00000000' + '02000000' + '00'.repeat(12) +
  `${key}02000000` + '01000000' + '00000000' + '01000000' + '00000000' + '00'.repeat(12) +
  Buffer.from('{}').toString('hex') + '6162' + '3629a2e2' +
  '313233343536373839' + '839206e3';

describe('a bulk body', () => {
  it('has exactly the bytes that the page draws', () => {
    assert.equal(encoded().toString('hex'), golden.replace('HEADCRC_', headChecksum));
    assert.equal(encoded().length, encodeBulkHead(head).length + payloadBytesOf(head.records));
  });

  it('is read in pieces of any size', () => {
    const bytes = encoded();
    for (const step of [1, 3, 16, bytes.length]) {
      const { result } = read(bytes, step, bytes.length);
      assert.deepEqual(result.head, head);
      assert.deepEqual(
        result.payloads.map((one) => Buffer.from(one).toString()),
        ['', '123456789', ''],
      );
    }
  });

  it('of version 2 has its payloads from the last to the first, and is read in pieces of any size', () => {
    const bytes = Buffer.concat([...bulkParts(encodeBulkHead(lastFirst), reversed)]);
    assert.equal(bytes.toString('hex'), lastFirstGolden);
    for (const step of [1, 3, 16, bytes.length]) {
      const { result } = read(bytes, step, bytes.length);
      assert.deepEqual(result.head, lastFirst);
      assert.deepEqual(
        result.payloads.map((one) => Buffer.from(one).toString()),
        ['', '123456789', 'ab'],
      );
    }
  });

  it('is refused when any byte of it is changed, cut off or added', () => {
    const bytes = encoded();
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1 << (at % 8);
      assertRefused(changed, `byte ${at} changed`);
      assertRefused(bytes.subarray(0, at), `cut at ${at}`);
    }
    assertRefused(Buffer.concat([bytes, Buffer.of(0)]), 'one byte more');
  });

  it('is refused before memory is taken when it claims more than its length', () => {
    const bytes = encodeBulkHead({
      records: [{ ...head.records[1], byteLength: 1024 * 1024 * 1024 }],
      attributes: {},
    });
    const sink = new BulkSink(() => assert.fail('memory was taken'), bytes.length + 100);
    assert.throws(
      () => {
        for (let at = 0; at < bytes.length;) {
          const space = sink.space();
          const part = bytes.subarray(at, at + space.length);
          space.set(part);
          sink.took(part.length);
          at += part.length;
        }
      },
      (error) => isStoreError(error, 'INVALID'),
    );
  });
});

describe('paths', () => {
  const names = ['default', 'a/b', '.', '..', 'ü~!', "it's(*)", 'a b%'].map(parseNamespace);

  it('spell namespaces as object keys do, and are read back', () => {
    for (const namespace of names) {
      assert.equal(encodePathNamespace(namespace), encodeNamespace(namespace));
      const resource = parsePath(operationPath(namespace, 'load'));
      assert.deepEqual(resource, { kind: 'operation', namespace, operation: 'load' });
    }
  });

  it('with dots or slashes that would lead elsewhere name nothing', () => {
    for (const path of ['/wmbt/v1/ns/a/../b/load', '/wmbt/v1//ping', '/wmbt/v1/ns/a/load/', '/']) {
      assert.equal(parsePath(path), undefined, path);
    }
    for (const path of ['/wmbt/v1/ns//load', '/wmbt/v1/ns/%zz/load', '/wmbt/v1/ns/a/blocks/xyz']) {
      assert.throws(() => parsePath(path), RangeError, path);
    }
  });
});

describe('dates', () => {
  it('are those of the platform, leap days included', () => {
    for (const ms of [0, 784_111_777_000, 951_782_400_000, 1_709_164_800_000, 4_107_542_399_999]) {
      assert.equal(httpDate(ms), new Date(ms).toUTCString());
    }
  });
});

function assertRefused(bytes: Uint8Array, what: string): void {
  assert.throws(
    () => read(bytes, bytes.length),
    (error) =>
      isStoreError(error, 'INVALID') ||
      isStoreError(error, 'CORRUPT') ||
      isStoreError(error, 'TOO_LARGE'),
    what,
  );
}

describe('a bulk body some of whose payloads are dropped', () => {
  it('is read to its end, and gives the others', () => {
    const bytes = Buffer.concat([...bulkParts(encodeBulkHead(lastFirst), reversed)]);
    for (const step of [1, 7, bytes.length]) {
      const came: number[] = [];
      const sink = new BulkSink(
        ({ records }) => ({
          take: (index) => (index === 1 ? undefined : new Uint8Array(records[index].byteLength)),
          came: (index) => came.push(index),
        }),
        bytes.length,
      );
      feedBulk(sink, bytes, step);
      const texts = sink.result.payloads.map((payload) => Buffer.from(payload).toString());
      assert.deepEqual([texts, came], [['', '', 'ab'], [2]]);
    }
  });

  it('drops a long payload piece by piece', () => {
    const long = { ...lastFirst.records[1], byteLength: 300_000 };
    const body = { records: [long, lastFirst.records[2]], attributes: {} };
    const parts = [{ payload: new Uint8Array(300_000) }, { payload: Buffer.from('ab') }];
    const bytes = Buffer.concat([...bulkParts(encodeBulkHead(body), parts)]);
    const sink = new BulkSink(() => ({
      take: (index) => (index === 0 ? undefined : new Uint8Array(2)),
    }));
    feedBulk(sink, bytes, 50_000);
    assert.equal(Buffer.from(sink.result.payloads[1]).toString(), 'ab');
  });
});

describe('a body that is collected', () => {
  it('takes memory as it has come, and nothing where it is asked for a place', () => {
    let isEmpty = false;
    const sink = new CollectSink(100_000, undefined, (byteLength) => {
      if (isEmpty) throw new StoreError('BUSY', 'no memory');
      return new Uint8Array(byteLength);
    });
    const first = sink.space();
    first.fill(7);
    sink.took(first.length);
    const second = sink.space();
    assert.ok(second.length > 0);
    isEmpty = true;
    second.fill(8);
    assert.throws(() => sink.took(second.length), { code: 'BUSY' });
  });
});
