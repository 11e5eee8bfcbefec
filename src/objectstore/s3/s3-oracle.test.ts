import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { unusualNames } from '../../../test/conformance/object-store-keys.ts';
import { seededRandom } from '../../../test/support/random.ts';
import { openedS3 } from '../../../test/support/s3-server/opened-s3.ts';
import type { OpenedS3 } from '../../../test/support/s3-server/opened-s3.ts';
import { parseObjectKey } from '../object-key.ts';
import { crcOfParts, crcText } from './s3-checksum.ts';
import { S3Signer } from './s3-signer.ts';

// The AWS SDK is what everybody's bucket was filled by: our server must take its requests, our
// client must find what it stored, and the two must agree on checksums and signatures.

let ours: OpenedS3;
let theirs: S3Client;

before(async () => {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  const mib = 1024 * 1024;
  const sizes = { multipartBytesMin: mib, parallelGetBytesMin: mib, partBytes: mib };
  ours = await openedS3({ server: { partBytesMin: 1 }, settings: { sizes } });
  theirs = new S3Client({
    endpoint: ours.server.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'test', secretAccessKey: 'testtest' },
  });
});

after(async () => {
  theirs.destroy();
  await ours.close();
});

const Bucket = 'wombat';

/** Both must read the body, and tell the same of the object. */
async function requireSame(Key: string, body: Buffer): Promise<void> {
  const got = await theirs.send(new GetObjectCommand({ Bucket, Key }));
  const own = await ours.store.get(parseObjectKey(Key));
  assert.ok(got.Body !== undefined && own !== undefined, Key);
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), body, Key);
  assert.deepEqual(Buffer.from(own.bytes), body, Key);
  assert.equal(`"${own.info.etag}"`, got.ETag);
  assert.equal(own.info.modifiedMs, got.LastModified?.getTime());
}

describe('the AWS SDK and our S3 store', () => {
  it('read what the other wrote, under every unusual key', async () => {
    for (const [index, name] of unusualNames.entries()) {
      const key = parseObjectKey(`oracle/${name}`);
      const Key = `oracle/${name}`;
      // The SDK resolves parts that are dots before it signs, so it has no such keys.
      if (name.split('/').some((part) => part === '.' || part === '..')) continue;
      const body = Buffer.from(`body ${index}`);
      if (index % 2 === 0) await ours.store.put(key, [body]);
      else await theirs.send(new PutObjectCommand({ Bucket, Key, Body: body }));
      await requireSame(Key, body);
    }
  });

  it('list the same objects', async () => {
    const listed = await theirs.send(
      new ListObjectsV2Command({ Bucket, Prefix: 'oracle/', EncodingType: 'url' }),
    );
    const page = await ours.store.list('oracle/');
    assert.equal(listed.Contents?.length, page.objects.length);
    assert.deepEqual(
      listed.Contents?.map(({ ETag, Size }) => [ETag, Size]),
      page.objects.map(({ etag, byteLength }) => [`"${etag}"`, byteLength]),
    );
  });

  it('agree on the CRC32C of bodies of any length', async () => {
    const random = seededRandom('bodies');
    for (const length of [0, 1, 7, 8, 199, 200, 201, 5000, 100_003]) {
      const body = Buffer.from(Array.from({ length }, () => random.below(256)));
      const Key = `crc/${length}`;
      const put = new PutObjectCommand({ Bucket, Key, Body: body, ChecksumAlgorithm: 'CRC32C' });
      const { ChecksumCRC32C } = await theirs.send(put);
      assert.equal(ChecksumCRC32C, crcText(crcOfParts([body.subarray(0, 3), body.subarray(3)])));
      // The server refuses a checksum that is not that of the body.
      await ours.store.put(parseObjectKey(`${Key}-ours`), [body]);
      const got = await theirs.send(
        new GetObjectCommand({ Bucket, Key: `${Key}-ours`, ChecksumMode: 'ENABLED' }),
      );
      assert.equal(got.ChecksumCRC32C, ChecksumCRC32C);
      assert.equal((await got.Body?.transformToByteArray())?.length, length);
    }
  });

  it('read what the other put in parts', async () => {
    const body = Buffer.alloc(2_500_000, 'parts');
    const Key = 'parts/theirs';
    const { UploadId } = await theirs.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const parts = [body.subarray(0, 2_000_000), body.subarray(2_000_000)];
    const Parts = [];
    for (const [index, Body] of parts.entries()) {
      const PartNumber = index + 1;
      const upload = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body });
      Parts.push({ PartNumber, ETag: (await theirs.send(upload)).ETag });
    }
    const MultipartUpload = { Parts };
    await theirs.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }),
    );
    assert.ok(body.equals((await ours.store.get(parseObjectKey(Key)))?.bytes ?? Buffer.alloc(0)));
    await ours.store.put(parseObjectKey('parts/ours'), [body]);
    const head = await theirs.send(
      new HeadObjectCommand({ Bucket, Key: 'parts/ours', ChecksumMode: 'ENABLED' }),
    );
    assert.equal(head.ContentLength, body.length);
    assert.equal(head.ChecksumCRC32C, crcText(crcOfParts([body])));
  });

  it('agree on signatures of requests of any form', async () => {
    const timeMs = Date.UTC(2030, 0, 31, 23, 59, 59);
    // One for all: what it keeps of one request must not be in the way of the next.
    const ownSigner = new S3Signer();
    const keys = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPx' };
    for (const sessionToken of [undefined, 'token/with+signs==']) {
      const credentials = { ...keys, ...(sessionToken !== undefined && { sessionToken }) };
      const client = new S3Client({ region: 'eu-west-1', credentials });
      // What the SDK hands to its own signer; the types of that are not for users.
      const scheme = {
        name: 'sigv4',
        signingName: 's3',
        signingRegion: 'eu-west-1',
        properties: {},
      };
      const signer = await client.config.signer(scheme as never);
      for (const [method, path, query] of [
        ['GET', '/wombat/a/b', {}],
        [
          'PUT',
          '/wombat/%20%2B%25%C3%A9%27%28%29%2A%21~//x',
          { partNumber: '7', uploadId: 'a/b+c=' },
        ],
        ['POST', '/wombat/k', { uploads: '' }],
        [
          'GET',
          '/',
          { 'list-type': '2', prefix: 'é /+', 'start-after': '\uffff', 'max-keys': '1' },
        ],
      ] as const) {
        const headers = {
          host: 'h:9000',
          'if-none-match': '*',
          'x-amz-checksum-crc32c': 'AAAAAA==',
        };
        const pairs = Object.entries(query).map(([n, v]) => `${n}=${encodeURIComponent(v)}`);
        const whole = pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
        const own = ownSigner.signedHeaders(
          { method, path: whole, headers, region: 'eu-west-1', timeMs },
          credentials,
        );
        const signed = await signer.sign(
          {
            ...{ method, path, query, protocol: 'http:', hostname: 'h', port: 9000 },
            headers: { ...headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
          } as never,
          { signingDate: new Date(timeMs) },
        );
        assert.equal(own['authorization'], signed.headers['authorization']);
        assert.equal(own['x-amz-date'], signed.headers['x-amz-date']);
        assert.equal(own['x-amz-security-token'], sessionToken);
      }
    }
  });
});
