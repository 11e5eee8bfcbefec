import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { DirectoryObjectStore } from './directory-object-store.ts';
import { LimitedObjectStore } from './limited-object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { openObjectStore } from './open-object-store.ts';

const platform = nodePlatform();

/** The message with which opening is refused. */
function refusal(url: string): string {
  try {
    openObjectStore(url, platform);
  } catch (error) {
    assert.ok(isStoreError(error, 'INVALID'), String(error));
    return error.message;
  }
  return assert.fail(`${url} was accepted`);
}

describe('openObjectStore()', () => {
  it('opens memory: and local file URLs', () => {
    assert.ok(openObjectStore('memory:', platform) instanceof MemoryObjectStore);
    const store = openObjectStore('file:///no/such/directory', platform);
    assert.ok(store instanceof DirectoryObjectStore);
    assert.equal(store.url, 'file:///no/such/directory');
  });

  it('gives one directory one URL, which opens it again', () => {
    const urls: readonly (readonly [string, string])[] = [
      ['file:///a/b', 'file:///a/b'],
      ['file:///a/b/', 'file:///a/b'],
      ['file:///a//b/./', 'file:///a/b'],
      ['file:///a/x/../b', 'file:///a/b'],
      ['file://localhost/a/b', 'file:///a/b'],
      ['FILE://LOCALHOST/a/b', 'file:///a/b'],
      ['file:///a%20b/%c3%a9', 'file:///a%20b/%C3%A9'],
      ['file:///a b/é', 'file:///a%20b/%C3%A9'],
      ['file:///100%25/a%23b%3Fc', 'file:///100%25/a%23b%3Fc'],
      ['file:///a%2Bb/(c)', 'file:///a+b/(c)'],
    ];
    for (const [url, expected] of urls) {
      const opened = openObjectStore(url, platform).url;
      assert.equal(opened, expected);
      assert.equal(openObjectStore(opened, platform).url, expected);
    }
  });

  it('opens buckets, and gives one bucket one URL, which opens it again', async () => {
    const endpoint = 'http://127.0.0.1:9000';
    const urls: readonly (readonly [string, string])[] = [
      ['S3://bucket/', 's3://bucket'],
      ['s3://bucket/a/b/', 's3://bucket/a/b'],
      [`s3://bucket/a?endpoint=${endpoint}/`, `s3://bucket/a?endpoint=${endpoint}`],
    ];
    for (const [url, expected] of urls) {
      const store = openObjectStore(url, platform);
      assert.ok(store instanceof LimitedObjectStore);
      assert.equal(store.url, expected);
      await store.close();
    }
    const store = openObjectStore('s3://bucket', platform, { s3: { endpoint } });
    assert.equal(store.url, `s3://bucket?endpoint=${endpoint}`);
    await store.close();
  });

  it('refuses all else, naming the value and what is accepted', () => {
    const others: readonly (readonly [string, RegExp])[] = [
      ['', /"" is unknown/],
      ['/abs/path', /"\/abs\/path" is unknown/],
      ['gs://bucket', /"gs:\/\/bucket" is unknown/],
      ['s3:bucket', /accepted is s3:\/\/bucket\/prefix/],
      ['s3://bucket?region=x', /accepted is s3:\/\/bucket\/prefix/],
      ['memory', /"memory" is unknown/],
      ['memory:x', /"memory:x" is unknown/],
      ['file:/abs/path', /not file:\/\/ and an absolute path/],
      ['file:relative', /not file:\/\/ and an absolute path/],
      ['file://host/path', /names the host "host", not this machine/],
      ['file://~/objects', /names the host "~"/],
      ['file://', /not file:\/\/ and an absolute path/],
      ['file:///', /names no directory/],
      ['file:///a/../..', /names no directory/],
      ['file:///a?b', /not file:\/\/ and an absolute path/],
      ['file:///a#b', /not file:\/\/ and an absolute path/],
      ['file:///a%zz', /not well percent-encoded/],
      ['file:///a%00b', /contains NUL/],
      ['file:///a%2fb', /has a slash in a name/],
      [`file:///${'x'.repeat(1000)}`, /1001 bytes leaves no room for keys, at most 900/],
    ];
    for (const [url, expected] of others) {
      const message = refusal(url);
      assert.match(message, expected);
      assert.match(message, /accepted (are|is)|at most/);
    }
  });
});
