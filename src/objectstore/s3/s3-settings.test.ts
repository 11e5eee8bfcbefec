import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { bytesOf, rejectsWith } from '../../../test/conformance/object-store-harness.ts';
import { openedS3 } from '../../../test/support/s3-server/opened-s3.ts';
import type { OpenedS3, OpenedS3Options } from '../../../test/support/s3-server/opened-s3.ts';
import { testCertificate } from '../../../test/support/s3-server/test-certificate.ts';
import { isStoreError } from '../../base/errors.ts';
import type { CloudIdentity } from '../../platform/cloud-credentials.ts';
import { loadProvider } from '../../platform/node-cloud-credentials.ts';
import type { Http } from '../../platform/http.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { parseObjectKey } from '../object-key.ts';
import { RequestLedger } from '../request-ledger.ts';
import { openS3 } from './open-s3.ts';

const key = parseObjectKey('kv/object');
const hour = 3_600_000;
const platform = nodePlatform();

const opened: OpenedS3[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function open(options?: OpenedS3Options): Promise<OpenedS3> {
  const one = await openedS3(options);
  opened.push(one);
  return one;
}

/** Puts and gets an object, and how many requests that took. */
async function roundTrip({ store, server }: OpenedS3): Promise<number> {
  const before = server.requests.length;
  assert.equal((await store.put(key, [bytesOf('bytes')])).outcome, 'stored');
  assert.deepEqual((await store.get(key))?.bytes, bytesOf('bytes'));
  return server.requests.length - before;
}

/** Credentials from the machine, one set after another. */
function cloud(...identities: readonly CloudIdentity[]): OpenedS3Options {
  const left = [...identities];
  const fetch = (): Promise<CloudIdentity> => {
    const next = left.shift();
    return next === undefined ? Promise.reject(new Error('none left')) : Promise.resolve(next);
  };
  return {
    settings: { accessKey: undefined, secretKey: undefined },
    platform: { cloudCredentials: { fetch } },
  };
}

const pair = { accessKeyId: 'test', secretAccessKey: 'testtest' };

describe('the clock of an S3 server', () => {
  for (const skewMs of [hour, -hour, 24 * 365 * hour]) {
    it(`may be ${skewMs / hour} hours off: the first request is sent twice, and no other`, async () => {
      const one = await open({ server: { skewMs } });
      assert.equal(await roundTrip(one), 3);
      assert.equal(await roundTrip(one), 2);
      assert.equal(await one.store.head(parseObjectKey('absent')), undefined);
    });
  }

  it('is corrected also by an answer without a body', async () => {
    const { store } = await open({ server: { skewMs: hour } });
    assert.equal(await store.head(key), undefined);
  });
});

describe('credentials of S3', () => {
  it('of the wrong secret are refused, and the message has neither', async () => {
    const { store } = await open({ settings: { secretKey: 'hunter2' } });
    const error = await store.get(key).catch((reason: unknown) => reason);
    assert.ok(isStoreError(error, 'UNAVAILABLE'));
    assert.match(error.message, /SignatureDoesNotMatch/);
    assert.doesNotMatch(error.message, /hunter2/);
  });

  it('come from the environment, with a session token', async () => {
    const one = await open({
      server: { sessionToken: 'token/+=' },
      settings: { accessKey: undefined, secretKey: undefined },
      platform: {
        environment: {
          AWS_ACCESS_KEY_ID: 'test',
          AWS_SECRET_ACCESS_KEY: 'testtest',
          AWS_SESSION_TOKEN: 'token/+=',
        },
      },
    });
    assert.equal(await roundTrip(one), 2);
  });

  it('come from the machine when nothing else has any, and are fetched once', async () => {
    assert.equal(await roundTrip(await open(cloud(pair))), 2);
  });

  it('are fetched anew when the server calls their token expired', async () => {
    const server = { sessionToken: 'new', expiredTokens: ['old'] };
    const old = { ...pair, sessionToken: 'old' };
    const fresh = { ...pair, sessionToken: 'new' };
    assert.equal(await roundTrip(await open({ server, ...cloud(old, fresh) })), 3);
    const one = await open({ server, ...cloud(old, fresh) });
    assert.equal(await one.store.head(key), undefined, 'also without a word of why');
  });

  it('are fetched anew before they end, and used to the end when there are no others', async () => {
    const clock = { ...platform.clock };
    let wallMs = Date.now();
    clock.wallMs = () => wallMs;
    const ending = { ...pair, expiresMs: wallMs + 30 * 60_000 };
    const options = cloud(ending, { ...pair, accessKeyId: 'another' });
    const { store } = await open({ ...options, platform: { ...options.platform, clock } });
    assert.equal(await store.get(key), undefined);
    wallMs += 26 * 60_000;
    await assert.rejects(store.get(key), /InvalidAccessKeyId/);

    const last = cloud({ ...pair, expiresMs: wallMs + 60_000 });
    const other = await open({
      ...last,
      server: { skewMs: 26 * 60_000 },
      platform: { ...last.platform, clock },
    });
    assert.equal(await roundTrip(other), 2);
  });

  it('that nobody has are UNAVAILABLE, or INVALID when what looks for them is missing', async () => {
    await rejectsWith('UNAVAILABLE', (await open(cloud())).store.get(key));
    const absent = '@wombatkv/nobody-has-installed-this';
    const fetch = async (): Promise<CloudIdentity> => (await loadProvider(() => import(absent)))();
    const none = cloud();
    const { store } = await open({ ...none, platform: { cloudCredentials: { fetch } } });
    await assert.rejects(store.get(key), /WMBT_KV_S3_ACCESS_KEY.*or install @aws-sdk/);
  });

  it('of a local server are refused for other machines, unless that is asked for', async () => {
    const wellKnown = { accessKey: 'minioadmin', secretKey: 'minioadmin' };
    for (const endpoint of ['https://s3.example.org', 'http://10.0.0.1:9000', undefined]) {
      assert.throws(
        () => openS3('s3://wombat', platform, { ...wellKnown, endpoint }),
        /minioadmin\/minioadmin are refused for .*WMBT_KV_LOCAL_DEV=1/,
      );
      await openS3('s3://wombat', platform, {
        ...wellKnown,
        endpoint,
        isLocalDevelopment: true,
      }).close();
    }
    for (const host of ['127.0.0.1', 'localhost', '[::1]', 'minio.localhost']) {
      await openS3('s3://wombat', platform, {
        ...wellKnown,
        endpoint: `http://${host}:9000`,
      }).close();
    }
    const environment = {
      AWS_ACCESS_KEY_ID: 'minioadmin',
      AWS_SECRET_ACCESS_KEY: 'minioadmin',
    };
    const store = openS3('s3://wombat', { ...platform, environment });
    await rejectsWith('INVALID', store.get(key));
    await store.close();
  });

  it('with only one half are INVALID', () => {
    assert.throws(() => openS3('s3://wombat', platform, { accessKey: 'a' }), /both, or neither/);
  });
});

describe('an S3 server with less than AWS has', () => {
  it('without conditional puts: the object is looked for before it is put', async () => {
    const one = await open({ server: { conditions: 'refused' } });
    const { store } = one;
    const ifAbsent = { condition: { kind: 'if-absent' } } as const;
    assert.deepEqual(await store.put(key, [bytesOf('a')], ifAbsent), { outcome: 'stored' });
    assert.deepEqual(await store.put(key, [bytesOf('b')], ifAbsent), { outcome: 'present' });
    const etag = (await store.head(key))?.etag ?? '';
    const ifMatch = { condition: { kind: 'if-match', etag } } as const;
    assert.deepEqual(await store.put(key, [bytesOf('c')], ifMatch), { outcome: 'stored' });
    assert.deepEqual(await store.put(key, [bytesOf('d')], ifMatch), { outcome: 'changed' });
    assert.deepEqual((await store.get(key))?.bytes, bytesOf('c'));
    const puts = one.server.requests.filter(({ method }) => method === 'PUT');
    assert.equal(puts.length, 3, 'the server is asked for conditions once');
  });

  it('without checksums: puts go without, and conditions stay', async () => {
    const one = await open({ server: { checksums: 'refused' } });
    const ifAbsent = { condition: { kind: 'if-absent' } } as const;
    assert.deepEqual(await one.store.put(key, [bytesOf('a')], ifAbsent), { outcome: 'stored' });
    assert.deepEqual(await one.store.put(key, [bytesOf('b')], ifAbsent), { outcome: 'present' });
    assert.equal(one.server.requests.length, 3);
  });

  it('that compares tags without their quotes is understood after one look', async () => {
    const one = await open({ server: { conditions: 'unquoted' } });
    await one.store.put(key, [bytesOf('a')]);
    for (const [text, requests] of [
      ['b', 3],
      ['c', 1],
    ] as const) {
      const etag = (await one.store.head(key))?.etag ?? '';
      const before = one.server.requests.length;
      const condition = { kind: 'if-match', etag } as const;
      const result = await one.store.put(key, [bytesOf(text)], { condition });
      assert.equal(result.outcome, 'stored');
      assert.equal(one.server.requests.length - before, requests);
    }
  });
});

describe('the place of an S3 bucket', () => {
  it('may be in the host name', async () => {
    const hosts: string[] = [];
    // The name does not resolve here, so connections go to the server's address.
    const http: Http = {
      open: (options) => {
        hosts.push(options.origin);
        const origin = options.origin.replace('//wombat.', '//').replace('s3.test', '127.0.0.1');
        return platform.http.open({ ...options, origin });
      },
    };
    const one = await open({ server: { virtualHost: 's3.test' } });
    const store = openS3('s3://wombat', platform, {
      http,
      ...{ accessKey: 'test', secretKey: 'testtest', isPathStyle: false },
      endpoint: `http://s3.test:${one.server.port}`,
    });
    assert.equal(await roundTrip({ ...one, store }), 2);
    assert.deepEqual(
      (await store.list('kv/')).objects.map((info) => info.key),
      [key],
    );
    assert.deepEqual(hosts, [`http://wombat.s3.test:${one.server.port}`]);
    await store.close();
  });

  it('may begin below a prefix, which keys do not show', async () => {
    const one = await open({ path: '/some/prefix%20here' });
    const { store, server } = one;
    assert.equal(await roundTrip(one), 2);
    assert.ok(server.bucket.objects.has('some/prefix here/kv/object'));
    server.bucket.put('some/prefix hereafter/x', Buffer.from(''), {});
    const page = await store.list('');
    assert.deepEqual(
      page.objects.map((info) => info.key),
      [key],
    );
    assert.deepEqual(page.objects[0], await store.head(key));
    assert.deepEqual(await store.list('kv/', { startAfter: key }), {
      objects: [],
      isTruncated: false,
    });
    await rejectsWith('INVALID', store.put(parseObjectKey('x'.repeat(1010)), []));
  });

  it('in another region is UNAVAILABLE and tells which', async () => {
    const { store } = await open({ server: { region: 'eu-west-1' } });
    await assert.rejects(store.get(key), /in the region eu-west-1 \(WMBT_KV_S3_REGION\)/);
    const right = await open({
      server: { region: 'eu-west-1' },
      settings: { region: 'eu-west-1' },
    });
    assert.equal(await roundTrip(right), 2);
  });

  it('may be behind TLS with a certificate of its own', async () => {
    const server = { tls: testCertificate };
    await rejectsWith('UNAVAILABLE', (await open({ server })).store.get(key));
    const settings = { certificates: testCertificate.cert };
    assert.equal(await roundTrip(await open({ server, settings })), 2);
  });

  it('may be behind the proxy of the environment', async () => {
    const proxies: (string | undefined)[] = [];
    const http: Http = {
      open: (options) => {
        proxies.push(options.proxy);
        return platform.http.open({ ...options, proxy: undefined });
      },
    };
    const environment = { http_proxy: 'proxy.example.org:3128' };
    await open({ settings: { http }, platform: { environment } });
    await open({
      settings: { http },
      platform: { environment: { ...environment, NO_PROXY: '127.0.0.1' } },
    });
    assert.deepEqual(proxies, ['http://proxy.example.org:3128', undefined]);
  });
});

describe('requests to S3', () => {
  it('are counted one by one as the bill counts them', async () => {
    const ledger = new RequestLedger();
    const mib = 1024 * 1024;
    const sizes = { multipartBytesMin: mib, parallelGetBytesMin: mib, partBytes: mib };
    const server = { partBytesMin: 1, skewMs: hour };
    const one = await open({ server, settings: { ledger, sizes } });
    await one.store.head(key);
    assert.deepEqual(ledger.snapshot(), { write: 0, read: 2, free: 0 }, 'sent again for the clock');
    await roundTrip(one);
    assert.deepEqual(ledger.snapshot(), { write: 1, read: 3, free: 0 });
    await one.store.put(key, [Buffer.alloc(3 * mib)]);
    assert.deepEqual(ledger.snapshot(), { write: 6, read: 3, free: 0 });
    await one.store.get(key);
    assert.deepEqual(ledger.snapshot(), { write: 6, read: 6, free: 0 });
    await one.store.list('');
    await one.store.delete(key);
    assert.deepEqual(ledger.snapshot(), { write: 7, read: 6, free: 1 });
  });
});
