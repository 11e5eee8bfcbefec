import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { inTime, rejectsWith } from '../../../test/conformance/object-store-harness.ts';
import { openedS3 } from '../../../test/support/s3-server/opened-s3.ts';
import type { OpenedS3, OpenedS3Options } from '../../../test/support/s3-server/opened-s3.ts';
import { faultsInTurn } from '../../../test/support/s3-server/server-faults.ts';
import type { ServerFault } from '../../../test/support/s3-server/server-faults.ts';
import { isStoreError } from '../../base/errors.ts';
import { parseObjectKey } from '../object-key.ts';
import { Refusal } from '../refusal.ts';
import type { RefusalKind } from '../refusal.ts';

const mib = 1024 * 1024;
const key = parseObjectKey('kv/object');
const body = Buffer.alloc(300_000, 'body');
const ifAbsent = { condition: { kind: 'if-absent' } } as const;

const opened: OpenedS3[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function open(options?: OpenedS3Options): Promise<OpenedS3> {
  const one = await openedS3(options);
  opened.push(one);
  return one;
}

/** A store whose bucket holds the object, and whose next request of the method goes wrong. */
async function faulted(
  method: string,
  fault: ServerFault,
  options?: OpenedS3Options,
): Promise<OpenedS3> {
  const one = await open(options);
  await one.store.put(key, [body]);
  one.server.faults = faultsInTurn(method, [fault]);
  return one;
}

/** What the call rejects with, which must be UNAVAILABLE. */
async function failure(call: Promise<unknown>): Promise<Error> {
  return call.then(
    () => assert.fail('resolved'),
    (error: unknown) => {
      assert.ok(isStoreError(error, 'UNAVAILABLE'), String(error));
      return error;
    },
  );
}

/** How the refusal that the call rejects with is classified. */
async function kindOf(call: Promise<unknown>): Promise<RefusalKind> {
  const { cause } = await failure(call);
  assert.ok(cause instanceof Refusal, String(cause));
  return cause.kind;
}

describe('a get from an S3 server that fails', () => {
  const cases: readonly (readonly [string, ServerFault, RegExp])[] = [
    ['whose connection breaks before the answer', { kind: 'reset' }, /get of kv\/object/],
    ['whose connection breaks in mid-body', { kind: 'break-body', at: 0.5 }, /get of kv\/object/],
    ['whose body ends early', { kind: 'end-body', at: 0.5 }, /get of kv\/object/],
    ['whose body is altered', { kind: 'alter', at: 0.7 }, /fails the server's CRC32C/],
    ['whose body is a shorter one', { kind: 'shorten', at: 0.5 }, /fails the server's CRC32C/],
    ['that speaks another protocol', { kind: 'garble' }, /get of kv\/object/],
    ['that claims more than it has', { kind: 'claim-length', byteLength: 400_000 }, /get of/],
    ['that claims less than it has', { kind: 'claim-length', byteLength: 200_000 }, /get of/],
  ];
  for (const [name, fault, message] of cases) {
    it(`${name} is UNAVAILABLE, and the next one has the bytes`, async () => {
      const { store } = await faulted('GET', fault);
      const memory = Buffer.alloc(body.length * 2);
      const allocate = (length: number): Uint8Array => memory.subarray(0, length);
      assert.match((await failure(store.get(key, { allocate }))).message, message);
      assert.ok(body.equals((await store.get(key))?.bytes ?? new Uint8Array(0)));
    });
  }

  it('whose ranged body is not the one asked for is UNAVAILABLE', async () => {
    for (const fault of [
      { kind: 'shorten', at: 0.5 },
      { kind: 'claim-length', byteLength: 1500 },
    ] as const) {
      const { store } = await faulted('GET', fault);
      await failure(store.get(key, { range: { offset: 1000, length: 1000 } }));
    }
  });

  it('takes no memory for a body that nobody gave any for', async () => {
    const { store } = await faulted('GET', { kind: 'claim-length', byteLength: 2 ** 41 });
    await rejectsWith('TOO_LARGE', store.get(key));
  });

  it('ends at once by its signal when the body stalls', async () => {
    const { store } = await faulted('GET', { kind: 'stall', at: 0.5 });
    const call = store.get(key, { signal: AbortSignal.timeout(200) });
    await inTime(5000, 'get', rejectsWith('ABORTED', call));
  });

  it('waits for a first byte that comes late', async () => {
    const { store } = await faulted('GET', { kind: 'slow', ms: 300 });
    assert.equal((await store.get(key))?.bytes.length, body.length);
  });

  it('does not see an altered body where the server knows no checksums', async () => {
    const server = { checksums: 'unknown' } as const;
    const { store } = await faulted('GET', { kind: 'alter', at: 0.5 }, { server });
    assert.notDeepEqual((await store.get(key))?.bytes, body);
  });
});

describe('a put to an S3 server that fails', () => {
  it('has happened when only its reply was lost, and if-absent tells so', async () => {
    const { store, server } = await open();
    server.faults = faultsInTurn('PUT', [{ kind: 'lose-reply' }]);
    await failure(store.put(key, [body], ifAbsent));
    assert.deepEqual(await store.put(key, [body], ifAbsent), { outcome: 'present' });
  });

  it('has not happened when the connection broke before', async () => {
    const { store, server } = await open();
    server.faults = faultsInTurn('PUT', [{ kind: 'reset' }]);
    await failure(store.put(key, [body]));
    assert.equal(await store.head(key), undefined);
  });

  it('of a body that is altered on the way is refused by its CRC32C', async () => {
    const { store, server } = await open();
    server.faults = faultsInTurn('PUT', [{ kind: 'alter-received', at: 0.3 }]);
    const call = store.put(key, [body]);
    assert.match((await failure(call)).message, /BadDigest/);
    assert.equal(await store.head(key), undefined);
    assert.equal((await store.put(key, [body])).outcome, 'stored');
  });
});

describe('a put in parts', () => {
  const settings = { sizes: { multipartBytesMin: mib, parallelGetBytesMin: mib, partBytes: mib } };
  const server = { partBytesMin: 1 };
  const large = Buffer.alloc(5 * mib, 'large');

  it('makes one object with the checksum of all of it, and comes back in parts', async () => {
    const one = await open({ settings, server });
    assert.equal((await one.store.put(key, [large])).outcome, 'stored');
    assert.equal(one.server.bucket.uploads.size, 0);
    assert.equal(one.server.requests.filter(({ method }) => method === 'PUT').length, 5);
    assert.notEqual(one.server.bucket.objects.get(key)?.checksum, undefined);
    assert.ok(large.equals((await one.store.get(key))?.bytes ?? new Uint8Array(0)));
    assert.equal(one.server.requests.filter(({ method }) => method === 'GET').length, 5);
  });

  it('that fails leaves neither an object nor parts', async () => {
    const one = await open({ settings, server });
    for (const [method, part] of [
      ['PUT', '3'],
      ['POST', undefined],
    ] as const) {
      one.server.faults = ({ method: asked, query }) =>
        asked === method &&
        (part === undefined ? query.has('uploadId') : query.get('partNumber') === part)
          ? { kind: 'refuse', status: 500, code: 'InternalError' }
          : undefined;
      assert.equal(await kindOf(one.store.put(key, [large])), 'transient');
      assert.equal(one.server.bucket.uploads.size, 0, `uploads after a failed ${method}`);
      assert.equal(await one.store.head(key), undefined);
    }
  });

  it('obeys conditions, also those that change while it runs', async () => {
    const one = await open({ settings, server });
    one.server.faults = ({ method, query }) => {
      // Another writer is faster by the last step.
      if (method === 'POST' && query.has('uploadId')) {
        one.server.bucket.put(key, Buffer.from('other'), {});
      }
      return undefined;
    };
    assert.deepEqual(await one.store.put(key, [large], ifAbsent), { outcome: 'present' });
    assert.equal(one.server.bucket.objects.get(key)?.bytes.toString(), 'other');
    assert.deepEqual(await one.store.put(key, [large], ifAbsent), { outcome: 'present' });
    const etag = 'other';
    const changed = await one.store.put(key, [large], { condition: { kind: 'if-match', etag } });
    assert.deepEqual(changed, { outcome: 'changed' });
  });

  it('is not mixed with another object when that replaces it in the middle of a get', async () => {
    const one = await open({ settings, server });
    await one.store.put(key, [large]);
    one.server.faults = ({ method, index }) => {
      if (method === 'GET' && index > 10) {
        one.server.bucket.put(key, Buffer.alloc(large.length, 'O'), {});
      }
      return undefined;
    };
    const error = await failure(one.store.get(key));
    assert.match(error.message, /replaced while it was read/);
  });
});

describe('refusals', () => {
  const refusals: readonly (readonly [number, string, RefusalKind])[] = [
    [403, 'AccessDenied', 'final'],
    [403, 'InvalidAccessKeyId', 'final'],
    [400, 'InvalidArgument', 'final'],
    [404, 'NoSuchBucket', 'final'],
    [301, 'PermanentRedirect', 'final'],
    [501, 'NotImplemented', 'final'],
    [503, 'SlowDown', 'throttled'],
    [429, 'TooManyRequests', 'throttled'],
    [400, 'RequestTimeout', 'transient'],
    [409, 'OperationAborted', 'transient'],
    [500, 'InternalError', 'transient'],
    [502, '', 'transient'],
  ];
  for (const [status, code, kind] of refusals) {
    it(`${status} ${code} is ${kind}`, async () => {
      const { store } = await faulted('GET', { kind: 'refuse', status, code });
      assert.equal(await kindOf(store.get(key)), kind);
    });
  }

  it('say how long the server asks to wait', async () => {
    for (const [text, ms] of [
      ['7', 7000],
      ['soon', undefined],
      [new Date(Date.now() + 60_500).toUTCString(), 60_000],
    ] as const) {
      const headers = { 'retry-after': text };
      const fault = { kind: 'refuse', status: 503, code: 'SlowDown', headers } as const;
      const { store } = await faulted('GET', fault);
      const { cause } = await failure(store.get(key));
      assert.ok(cause instanceof Refusal);
      if (ms === undefined) assert.equal(cause.retryAfterMs, undefined);
      else assert.ok(Math.abs((cause.retryAfterMs ?? 0) - ms) <= 1000, `${cause.retryAfterMs}`);
    }
  });

  it('tell a bucket that is not there from an object that is not', async () => {
    const { store } = await open({ bucket: 'other' });
    assert.match((await failure(store.get(key))).message, /NoSuchBucket/);
    assert.match((await failure(store.delete(key))).message, /NoSuchBucket/);
  });

  it('a list that is none is UNAVAILABLE', async () => {
    const { store, server } = await open();
    server.faults = faultsInTurn('GET', [
      { kind: 'alter', at: 0 },
      { kind: 'shorten', at: 0.9 },
      { kind: 'claim-length', byteLength: 9 * mib },
    ]);
    assert.match((await failure(store.list(''))).message, /no XML/);
    assert.match((await failure(store.list(''))).message, /no XML/);
    await failure(store.list(''));
    assert.deepEqual(await store.list(''), { objects: [], isTruncated: false });
  });
});
