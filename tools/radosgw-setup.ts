import { execFileSync } from 'node:child_process';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { cephPackages } from './radosgw.ts';
import type { Radosgw } from './radosgw.ts';

const installWords = ['install', '--yes', '--no-install-recommends', ...cephPackages];

/** What a person types to have the programs. */
export const installCommand = `sudo apt-get ${installWords.join(' ')}`;

/** Installs the packages, if that needs no password. What is missing still is found by its absence. */
export function tryInstall(): void {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive'];
  for (const words of [['update', '--quiet'], installWords]) {
    const [program = '', ...rest] = [...asRoot, ...environment, 'apt-get', ...words];
    try {
      console.log(`$ ${[program, ...rest].join(' ')}`);
      execFileSync(program, rest, { stdio: ['ignore', 'ignore', 'inherit'] });
    } catch {
      // No apt-get, no network, no rights: what is missing then is found by its absence.
      return;
    }
  }
}

export async function createBucket(server: Radosgw, bucket: string): Promise<void> {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  const client = new S3Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    // This server does not know the checksums that the SDK sends otherwise.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
}
