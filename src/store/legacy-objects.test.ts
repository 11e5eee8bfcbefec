import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { openedS3 } from '../../test/support/s3-server/opened-s3.ts';
import type { OpenedS3 } from '../../test/support/s3-server/opened-s3.ts';
import { chainOf } from '../../test/support/chains.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { silentLogger } from '../base/logger.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { legacyBlockObjectKey } from '../format/object-keys.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import { md5OfHead } from '../objectstore/s3/s3-object-facts.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { assembleStore } from './assemble-store.ts';

const opened: OpenedS3[] = [];
const stores: KvStore[] = [];
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  for (const one of opened.splice(0)) await one.close();
});

const namespace = parseNamespace('default');

async function openStore({ store: objects }: OpenedS3): Promise<KvStore> {
  const budgets = { memoryBytes: 2 ** 24, diskBytes: 0, objectStoreBytesMax: false } as const;
  const deadlines = { lookupDeadlineMs: 9000, loadDeadlineMs: 9000, callDeadlineMsMax: 9000 };
  const compression = { compression: 'off', compressionLevel: 1 } as const;
  const places = { namespace, keyPrefix: 'kv/cabi', cacheDirectory: false } as const;
  const store = await assembleStore({
    ...{ platform: nodePlatform(), logger: silentLogger, objects, transcoder: rawTranscoder },
    settings: { ...budgets, ...deadlines, ...compression, ...places, putDurable: false },
  });
  stores.push(store);
  return store;
}

describe('a v1 body without envelope, from a server that keeps no checksum', () => {
  for (const [name, isAltered] of [
    ['is given when its MD5 is the tag', false],
    ['is corrupt when it was altered on its way', true],
  ] as const) {
    it(name, async () => {
      const one = await openedS3({ server: { checksums: 'unknown' } });
      opened.push(one);
      const { keys, blocks } = chainOf('raw', 1, 5000);
      const key = parseObjectKey(legacyBlockObjectKey('kv/cabi', namespace, keys[0]));
      await one.store.put(key, [blocks[0].payload]);
      one.server.faults = ({ method, key: asked }) =>
        isAltered && method === 'GET' && asked.includes('/v1/block/')
          ? { kind: 'alter', at: 0.5 }
          : undefined;
      const store = await openStore(one);
      const borrow = await store.load(keys);
      const bytes = borrow.blocks.map(({ payload }) => Buffer.from(payload));
      borrow.release();
      assert.equal(borrow.reason, isAltered ? 'corrupt' : undefined);
      assert.deepEqual(bytes, isAltered ? [] : [Buffer.from(blocks[0].payload)]);
    });
  }
});

describe('md5OfHead()', () => {
  const etag = '"9A0364B9E99BB480DD25E1F0284C8555"';
  const md5 = '9a0364b9e99bb480dd25e1f0284c8555';
  const of = (headers: Readonly<Record<string, string>>): string | undefined =>
    md5OfHead({ status: 200, headers });

  it('is the tag of an object that was put whole', () => {
    assert.equal(of({ etag }), md5);
    assert.equal(of({ etag, 'x-amz-server-side-encryption': 'AES256' }), md5);
  });

  it('is none for parts, for other tags, and under keys of others', () => {
    assert.equal(of({ etag: `"${md5}-2"` }), undefined);
    assert.equal(of({ etag: '"17"' }), undefined);
    assert.equal(of({}), undefined);
    assert.equal(of({ etag, 'x-amz-server-side-encryption': 'aws:kms' }), undefined);
    const customer = 'x-amz-server-side-encryption-customer-algorithm';
    assert.equal(of({ etag, [customer]: 'AES256' }), undefined);
    assert.equal(of({ etag, 'x-goog-encryption-kms-key-name': 'key' }), undefined);
  });
});
