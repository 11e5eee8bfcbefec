import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { proxyFor } from './proxy.ts';
import { addressOf, pathOf } from './s3-address.ts';
import { parseS3Url, s3UrlOf } from './s3-url.ts';

describe('parseS3Url()', () => {
  it('reads bucket, prefix and endpoint, and gives one place one URL', () => {
    const urls: readonly (readonly [string, string])[] = [
      ['s3://bucket', 's3://bucket'],
      ['S3://bucket/', 's3://bucket'],
      ['s3://bucket/a/b/', 's3://bucket/a/b'],
      ['s3://bucket/a%20b/%c3%a9', 's3://bucket/a%20b/%C3%A9'],
      ['s3://bucket?endpoint=http://127.0.0.1:9000/', 's3://bucket?endpoint=http://127.0.0.1:9000'],
      ['s3://bucket/p?endpoint=https%3A%2F%2FHost:443', 's3://bucket/p?endpoint=https://host'],
    ];
    for (const [text, canonical] of urls) {
      assert.equal(s3UrlOf(parseS3Url(text)), canonical);
      assert.deepEqual(parseS3Url(canonical), parseS3Url(text));
    }
    assert.deepEqual(parseS3Url('s3://b/x/y?endpoint=http://h:1'), {
      bucket: 'b',
      root: 'x/y/',
      endpoint: 'http://h:1',
    });
  });

  it('refuses what is none, without showing a query', () => {
    const others = [
      's3:',
      's3://',
      's3:///a',
      's3:bucket',
      's3://bucket#x',
      's3://bucket?region=x',
      's3://key:hunter2@bucket',
      's3://bucket/hunter2@x',
      's3://bucket/%zz',
      's3://bucket/a%00b',
      's3://bucket?endpoint=ftp://x',
      's3://bucket?endpoint=http://me:hunter2@host',
      's3://bucket?endpoint=http://host/path',
    ];
    for (const text of others) {
      assert.throws(
        () => parseS3Url(text),
        (error: Error) =>
          /accepted|URI malformed|NUL|endpoint is not/.test(error.message) &&
          !error.message.includes('hunter2'),
        text,
      );
    }
  });
});

describe('addressOf()', () => {
  it('puts the bucket into the host name for AWS and into the path for an endpoint', () => {
    assert.deepEqual(addressOf({ bucket: 'my-bucket', region: 'eu-west-1' }), {
      origin: 'https://my-bucket.s3.eu-west-1.amazonaws.com',
      host: 'my-bucket.s3.eu-west-1.amazonaws.com',
      hostName: 's3.eu-west-1.amazonaws.com',
      bucketPath: '',
    });
    const endpoint = 'http://localhost:9000';
    assert.deepEqual(addressOf({ bucket: 'A_b', region: 'x', endpoint }), {
      origin: 'http://localhost:9000',
      host: 'localhost:9000',
      hostName: 'localhost',
      bucketPath: '/A_b',
    });
    assert.equal(
      addressOf({ bucket: 'bucket', region: 'x', endpoint, isPathStyle: false }).host,
      'bucket.localhost:9000',
    );
    assert.throws(() => addressOf({ bucket: 'A_b', region: 'x' }), /cannot be part of a host name/);
  });
});

describe('pathOf()', () => {
  it('encodes keys part by part and leaves dots and slashes as they are', () => {
    const address = addressOf({ bucket: 'b', region: 'x', endpoint: 'http://h' });
    assert.equal(pathOf(address, "a/../ +%é'()*!~//"), '/b/a/../%20%2B%25%C3%A9%27%28%29%2A%21~//');
    assert.equal(
      pathOf(address, undefined, { prefix: 'a/b', uploads: '' }),
      '/b?prefix=a%2Fb&uploads=',
    );
    assert.equal(pathOf({ ...address, bucketPath: '' }, undefined), '/');
  });
});

describe('proxyFor()', () => {
  it('takes the proxy of the protocol, unless the host is exempt', () => {
    const environment = {
      https_proxy: 'http://secure:1',
      http_proxy: 'plain:2',
      no_proxy: 'localhost, .example.org,10.0.0.1:9000 [::1]',
    };
    const cases: readonly (readonly [string, string | undefined])[] = [
      ['https://s3.amazonaws.com', 'http://secure:1'],
      ['http://s3.amazonaws.com', 'http://plain:2'],
      ['http://localhost:9000', undefined],
      ['https://s3.example.org', undefined],
      ['https://example.org', undefined],
      ['https://notexample.org', 'http://secure:1'],
      ['http://10.0.0.1:9000', undefined],
      ['http://10.0.0.1:9001', 'http://plain:2'],
      ['http://[::1]:9000', undefined],
    ];
    for (const [origin, proxy] of cases) assert.equal(proxyFor(origin, environment), proxy, origin);
  });

  it('knows all_proxy, the star, and that HTTP_PROXY is not to be trusted', () => {
    assert.equal(proxyFor('http://h', { HTTP_PROXY: 'x:1' }), undefined);
    assert.equal(proxyFor('https://h', { HTTPS_PROXY: 'x:1' }), 'http://x:1');
    assert.equal(proxyFor('http://h', { ALL_PROXY: 'x:1' }), 'http://x:1');
    assert.equal(proxyFor('http://h', { all_proxy: 'x:1', no_proxy: '*' }), undefined);
    assert.equal(proxyFor('http://h', { http_proxy: '' }), undefined);
  });
});
