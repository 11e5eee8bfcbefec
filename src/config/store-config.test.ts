import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import type { Host } from '../platform/platform.ts';
import { objectStoreDirectory } from './object-store-url.ts';
import { resolveStoreConfig, withoutSecrets } from './store-config.ts';
import type { StoreConfig, UncheckedStoreConfig } from './store-config.ts';

const gib = 1024 ** 3;

const host: Host = {
  processId: 1,
  bootId: '',
  hostName: 'somewhere',
  homeDirectory: '/home/some body',
  temporaryDirectory: '/tmp',
  memoryDirectory: undefined,
  processors: 1,
};

describe('resolveStoreConfig()', () => {
  it('fills every default', () => {
    assert.deepEqual(resolveStoreConfig({}, host), {
      namespace: 'default',
      objectStore: 'file:///home/some%20body/.wombatkv/objects',
      objectStoreBytesMax: 20 * gib,
      keyPrefix: 'kv/cabi',
      cacheDirectory: '/home/some body/.wombatkv/puffer',
      memoryBytes: gib,
      diskBytes: 8 * gib,
      compression: 'zstd',
      compressionLevel: 1,
      readV1: 'auto',
      writeFormat: 'v2',
      putDurable: false,
      lookupDeadlineMs: 250,
      loadDeadlineMs: 10_000,
      callDeadlineMsMax: 30_000,
      native: 'auto',
      bucket: '',
      s3Endpoint: '',
      s3AccessKey: '',
      s3SecretKey: '',
      s3Region: 'us-east-1',
      s3CaFile: '',
      s3PathStyle: 'auto',
      s3ReadBytesPerSecond: false,
      s3WriteBytesPerSecond: false,
      localDevelopment: false,
    });
  });

  it('changes nothing in what is resolved already', () => {
    const inputs: readonly StoreConfig[] = [
      {},
      { objectStore: 'memory:' },
      { objectStoreBytesMax: false },
      { keyPrefix: '' },
      { cacheDirectory: false },
      { diskBytes: 0 },
      { namespace: 'ä/ö', keyPrefix: '/a/b/', cacheDirectory: '~/x/../cache//' },
      { objectStore: 'file:///srv/a%20b/%25/%C3%A4/', compression: 'off', putDurable: true },
    ];
    for (const input of inputs) {
      const resolved = resolveStoreConfig(input, host);
      assert.deepEqual(resolveStoreConfig(resolved, host), resolved);
    }
  });

  it('takes an undefined field as left out and an empty namespace as the default one', () => {
    const config = { namespace: '', diskBytes: undefined, cacheDirectory: undefined };
    assert.deepEqual(resolveStoreConfig(config, host), resolveStoreConfig({}, host));
  });

  it('has no disk tier when either the directory or the budget is off', () => {
    for (const config of [{ cacheDirectory: false }, { diskBytes: 0 }] as const) {
      const { cacheDirectory, diskBytes } = resolveStoreConfig(config, host);
      assert.deepEqual({ cacheDirectory, diskBytes }, { cacheDirectory: false, diskBytes: 0 });
    }
  });

  it('bounds a directory by default and memory only when asked', () => {
    const limitOf = (config: StoreConfig) => resolveStoreConfig(config, host).objectStoreBytesMax;
    assert.equal(limitOf({ objectStore: 'memory:' }), false);
    assert.equal(limitOf({ objectStore: 'memory:', objectStoreBytesMax: gib }), gib);
    assert.equal(limitOf({ objectStore: 'file:///srv/kv' }), 20 * gib);
    assert.equal(limitOf({ objectStore: 'file:///srv/kv', objectStoreBytesMax: false }), false);
  });
});

describe('a field out of range', () => {
  const cases: readonly (readonly [UncheckedStoreConfig, typeof TypeError | typeof RangeError])[] =
    [
      [{ namespace: 7 }, TypeError],
      [{ namespace: 'n'.repeat(81) }, RangeError],
      [{ namespace: '\ud800' }, RangeError],
      [{ objectStore: 7 }, TypeError],
      [{ objectStore: 's3:bucket/prefix' }, RangeError],
      [{ bucket: 'a/b' }, RangeError],
      [{ s3Endpoint: 'host:9000' }, RangeError],
      [{ s3Endpoint: 'http://host/path' }, RangeError],
      [{ s3Region: '' }, RangeError],
      [{ s3CaFile: 'ca.pem' }, RangeError],
      [{ s3PathStyle: 'yes' }, RangeError],
      [{ s3SecretKey: 7 }, TypeError],
      [{ localDevelopment: 1 }, TypeError],
      [{ objectStore: '' }, RangeError],
      [{ objectStoreBytesMax: true }, TypeError],
      [{ objectStoreBytesMax: 0 }, RangeError],
      [{ keyPrefix: null }, TypeError],
      [{ keyPrefix: '/a//b' }, RangeError],
      [{ keyPrefix: 'a//b' }, RangeError],
      [{ keyPrefix: 'a/../b' }, RangeError],
      [{ keyPrefix: './a' }, RangeError],
      [{ keyPrefix: 'a\0b' }, RangeError],
      [{ keyPrefix: 'p'.repeat(513) }, RangeError],
      [{ cacheDirectory: true }, TypeError],
      [{ cacheDirectory: '' }, RangeError],
      [{ cacheDirectory: 'cache' }, RangeError],
      [{ cacheDirectory: '~other/cache' }, RangeError],
      [{ cacheDirectory: '/a\0b' }, RangeError],
      [{ memoryBytes: '1' }, TypeError],
      [{ objectStoreBytesMax: null }, TypeError],
      [{ compressionLevel: null }, TypeError],
      [{ loadDeadlineMs: null }, TypeError],
      [{ memoryBytes: 0 }, RangeError],
      [{ memoryBytes: 4095 }, RangeError],
      [{ memoryBytes: Number.NaN }, RangeError],
      [{ diskBytes: -1 }, RangeError],
      [{ diskBytes: 8 }, RangeError],
      [{ diskBytes: 4096.5 }, RangeError],
      [{ diskBytes: Number.POSITIVE_INFINITY }, RangeError],
      [{ compression: false }, TypeError],
      [{ compression: 'lz4' }, RangeError],
      [{ compressionLevel: 0 }, RangeError],
      [{ compressionLevel: 23 }, RangeError],
      [{ putDurable: 'yes' }, TypeError],
      [{ lookupDeadlineMs: 0 }, RangeError],
      [{ loadDeadlineMs: 2 ** 31 }, RangeError],
      [{ callDeadlineMsMax: 1.5 }, RangeError],
      [{ native: 'maybe' }, RangeError],
    ];
  for (const [config, kind] of cases) {
    const [field, value] = Object.entries(config)[0] ?? ['', undefined];
    it(`${field}: ${JSON.stringify(value)?.slice(0, 40)} is a ${kind.name} that names it`, () => {
      assert.throws(
        () => resolveStoreConfig(config, host),
        (error) => error instanceof kind && error.message.startsWith(field),
      );
    });
  }

  it('a field that does not exist is a TypeError with the nearest one', () => {
    const config: Record<string, unknown> = { cachedirectory: '/x' };
    assert.throws(() => resolveStoreConfig(config, host), /"cachedirectory".*cacheDirectory/);
  });

  it('a configuration that is no object is a TypeError', () => {
    const config = JSON.parse('null') as UncheckedStoreConfig;
    assert.throws(() => resolveStoreConfig(config, host), TypeError);
  });
});

describe('the object store URL', () => {
  const objectStoreOf = (objectStore: string): string =>
    resolveStoreConfig({ objectStore }, host).objectStore;

  const canonical: readonly (readonly [string, string])[] = [
    ['file:///srv/kv', 'file:///srv/kv'],
    ['FILE:///srv/kv/', 'file:///srv/kv'],
    ['file://localhost/srv/kv', 'file:///srv/kv'],
    ['file:///srv//x/../kv/.', 'file:///srv/kv'],
    ['file:///srv/a b', 'file:///srv/a%20b'],
    ['file:///srv/a%20b', 'file:///srv/a%20b'],
    ['file:///srv/50%25', 'file:///srv/50%25'],
    ['file:///srv/%3F%23', 'file:///srv/%3F%23'],
    ['file://~/kv', 'file:///home/some%20body/kv'],
    ['Memory:', 'memory:'],
    ['S3://bucket/', 's3://bucket'],
    ['s3://bucket/a b/%c3%a9/', 's3://bucket/a%20b/%C3%A9'],
    ['s3://bucket?endpoint=HTTP%3A//Host:80/', 's3://bucket?endpoint=http://host'],
  ];
  for (const [text, url] of canonical) {
    it(`${text} is ${url}`, () => assert.equal(objectStoreOf(text), url));
  }

  it('gives back the directory that it names', () => {
    assert.equal(objectStoreDirectory(objectStoreOf('file:///srv/a%20%25%3F')), '/srv/a %?');
    assert.equal(objectStoreDirectory('memory:'), undefined);
  });

  const refused: readonly (readonly [string, RegExp])[] = [
    ['/srv/kv', /write "file:\/\/\/srv\/kv"/],
    ['file:srv/kv', /neither file:\/\/\//],
    ['file:/srv/kv', /neither/],
    ['file://srv/kv', /neither/],
    ['file://./kv', /neither/],
    ['file:///a?b', /%3F/],
    ['file:///a#b', /%23/],
    ['file:///a%2Fb', /NUL/],
    ['file:///a%00', /NUL/],
    ['file:///a%zz', /percent-encoding/],
    ['https://example.com/', /neither/],
    ['gs://bucket', /neither/],
    ['s3:bucket', /not s3:\/\/bucket\/prefix/],
    ['s3://bucket?region=x', /not s3:\/\/bucket\/prefix/],
    ['s3://bucket/a@b', /not s3:\/\/bucket\/prefix/],
    ['s3://bucket/%00', /no NUL/],
    ['s3://bucket?endpoint=host:1', /no http:\/\/ or https:\/\/ origin/],
  ];
  for (const [text, message] of refused) {
    it(`${text} is refused`, () => {
      assert.throws(() => objectStoreOf(text), message);
      assert.throws(() => objectStoreOf(text), RangeError);
    });
  }

  it('shows no credentials and no query of a refused URL', () => {
    for (const text of [
      's3://AKIA1:hunter2/+x@bucket/prefix',
      'http://me:hunter2@host/',
      's3://bucket?endpoint=http://me:hunter2@host',
      'me:hunter2@host',
      'hunter2:x@host',
      'https://host/bucket?X-Amz-Signature=hunter2',
    ]) {
      assert.throws(
        () => objectStoreOf(text),
        (error) => error instanceof RangeError && !error.message.includes('hunter2'),
      );
    }
  });
});

describe('a bucket', () => {
  const resolved = (config: StoreConfig) => resolveStoreConfig(config, host);

  it('is the object store where no URL is given, and has no bound by default', () => {
    const config = resolved({ bucket: 'kv', s3Endpoint: 'http://host:9000/' });
    assert.equal(config.objectStore, 's3://kv?endpoint=http://host:9000');
    assert.equal(config.objectStoreBytesMax, false);
    assert.equal(resolved({ bucket: 'kv' }).objectStore, 's3://kv');
    assert.deepEqual(resolveStoreConfig(config, host), config, 'resolving again changes nothing');
  });

  it('gives way to a URL, which takes the endpoint unless it names one', () => {
    const s3Endpoint = 'http://host:9000';
    const of = (objectStore: string): string =>
      resolved({ objectStore, bucket: 'other', s3Endpoint }).objectStore;
    assert.equal(of('memory:'), 'memory:');
    assert.equal(of('s3://kv/a'), 's3://kv/a?endpoint=http://host:9000');
    assert.equal(of('s3://kv?endpoint=http://own'), 's3://kv?endpoint=http://own');
  });

  it('must be named when a server is', () => {
    assert.throws(
      () => resolved({ s3Endpoint: 'http://host:9000' }),
      (error) => isStoreError(error, 'INVALID') && error.message.includes('WMBT_KV_BUCKET'),
    );
  });

  it('has keys that are not shown', () => {
    const config = resolved({ bucket: 'kv', s3AccessKey: 'hunter1', s3SecretKey: 'hunter2' });
    assert.equal(config.s3SecretKey, 'hunter2');
    assert.doesNotMatch(JSON.stringify(withoutSecrets(config)), /hunter/);
    assert.equal(withoutSecrets(resolved({})).s3AccessKey, '');
  });
});

describe('a home directory that is none', () => {
  const homeless: Host = { ...host, homeDirectory: '' };

  it('is an INVALID error where a path needs it', () => {
    assert.throws(
      () => resolveStoreConfig({}, homeless),
      (error) => isStoreError(error, 'INVALID') && error.message.includes('HOME'),
    );
  });

  it('does not matter where both places are given', () => {
    const config = { objectStore: 'file:///kv/objects', cacheDirectory: '/kv/cache' };
    assert.equal(resolveStoreConfig(config, homeless).cacheDirectory, '/kv/cache');
  });
});

describe('object store and cache directory', () => {
  const nested: readonly (readonly [string, string])[] = [
    ['file:///kv/cache/objects', '/kv/cache'],
    ['file:///kv/objects', '/kv/objects/cache'],
    ['file:///kv', '/kv'],
    ['file:///kv/', '/kv//'],
    ['file:///kv/a/../cache/x', '/kv/./cache'],
    ['file:///kv/%63ache/x', '/kv/cache'],
    ['file:///', '/kv'],
    ['file:///kv', '/'],
    ['file://~/c/o', '~/c'],
  ];
  for (const [objectStore, cacheDirectory] of nested) {
    it(`${objectStore} and ${cacheDirectory} are refused`, () => {
      assert.throws(
        () => resolveStoreConfig({ objectStore, cacheDirectory }, host),
        (error) =>
          isStoreError(error, 'INVALID') &&
          error.message.includes('WMBT_KV_OBJECT_STORE') &&
          error.message.includes('WMBT_KV_PUFFER_DIR'),
      );
    });
  }

  it('may lie beside one another, also with a common beginning', () => {
    const config = { objectStore: 'file:///kv/cache-objects', cacheDirectory: '/kv/cache' };
    assert.equal(resolveStoreConfig(config, host).cacheDirectory, '/kv/cache');
  });

  it('may be anything without a disk tier', () => {
    const config = { objectStore: 'file:///kv', cacheDirectory: '/kv', diskBytes: 0 };
    assert.equal(resolveStoreConfig(config, host).cacheDirectory, false);
  });

  it('refuses a cache directory around the default object store', () => {
    assert.throws(
      () => resolveStoreConfig({ cacheDirectory: '~/.wombatkv' }, host),
      /may lie inside/,
    );
  });
});
