import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { BucketAccess, GetJob, GetResult } from './client-job.ts';
import { cpuMsNow } from './cpu-time.ts';
import { inLanes } from './lanes.ts';

/** Kept from job to job, and with them their connections: as a program would have it. */
const clients = new Map<string, S3Client>();

/** A client of AWS's own kit, as its documentation advises for servers of others. */
export function sdkClient({ endpoint, accessKey, secretKey }: BucketAccess): S3Client {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  return new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
    // radosgw does not know the checksums that the SDK sends otherwise.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}

/** GETs of all objects into memory, with the AWS SDK. */
export async function getBySdk({ access, objectKeys, lanes }: GetJob): Promise<GetResult> {
  let client = clients.get(access.endpoint);
  if (client === undefined) {
    client = sdkClient(access);
    clients.set(access.endpoint, client);
  }
  const sdk = client;
  const bodies: Uint8Array[] = [];
  const startCpuMs = cpuMsNow();
  const startMs = performance.now();
  await inLanes(objectKeys, lanes, async (Key) => {
    const { Body } = await sdk.send(new GetObjectCommand({ Bucket: access.bucket, Key }));
    if (Body === undefined) throw new Error(`${Key} has no body`);
    bodies.push(await Body.transformToByteArray());
  });
  const ms = performance.now() - startMs;
  const bytes = bodies.reduce((sum, body) => sum + body.length, 0);
  return { ms, cpuMs: cpuMsNow() - startCpuMs, bytes };
}
