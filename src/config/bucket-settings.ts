import type { EffectiveSetting } from './setting.ts';

const library = { readBy: ['library', 'daemon'], effect: 'now' } as const;

const acceptedRate =
  'a whole number of bytes from 1 MiB up, or one with K, M, G, T, KiB, MiB, GiB or TiB; off for no limit';

/** Settings of a bucket behind the S3 protocol. They have effect when the object store is one. */
export const bucketSettings: readonly EffectiveSetting[] = [
  {
    name: 'WMBT_KV_BUCKET',
    field: 'bucket',
    kind: 'text',
    default: '',
    accepts: '1 to 255 letters, digits, dots, hyphens and underscores',
    help: 'S3 bucket that is the object store, where `WMBT_KV_OBJECT_STORE` names none. It must exist.',
    ...library,
  },
  {
    name: 'WMBT_KV_S3_ENDPOINT',
    field: 's3Endpoint',
    kind: 'url',
    default: '',
    accepts: 'http:// or https:// with a host and a port, and nothing else',
    help: 'S3 server, where the URL of the object store names none. Without one it is AWS in the region.',
    ...library,
  },
  {
    name: 'WMBT_KV_S3_ACCESS_KEY',
    field: 's3AccessKey',
    kind: 'text',
    default: '',
    help:
      'S3 access key. With neither key set, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and ' +
      '`AWS_SESSION_TOKEN` are taken, and then whatever `@aws-sdk/credential-providers` finds.',
    isSecret: true,
    ...library,
  },
  {
    name: 'WMBT_KV_S3_SECRET_KEY',
    field: 's3SecretKey',
    kind: 'text',
    default: '',
    help: 'S3 secret key.',
    isSecret: true,
    ...library,
  },
  {
    name: 'WMBT_KV_S3_REGION',
    field: 's3Region',
    kind: 'text',
    default: 'us-east-1',
    accepts: 'letters, digits and hyphens',
    help: 'S3 region.',
    ...library,
  },
  {
    name: 'WMBT_KV_S3_CA_FILE',
    field: 's3CaFile',
    kind: 'path',
    default: '',
    help: 'File of certificates in PEM that are trusted besides those of Node.',
    ...library,
  },
  {
    name: 'WMBT_KV_S3_FORCE_PATH_STYLE',
    field: 's3PathStyle',
    kind: 'choice',
    choices: {
      auto: 'auto',
      ...{ '1': 'on', true: 'on', yes: 'on', on: 'on' },
      ...{ '0': 'off', false: 'off', no: 'off', off: 'off' },
    },
    default: 'auto',
    accepts: '1, true, yes, on, 0, false, no, off, auto',
    help: 'Bucket in the path of the URL rather than in the host name. `auto`: on with an endpoint.',
    ...library,
  },
  {
    name: 'WMBT_KV_S3_READ_BYTES_PER_SEC',
    field: 's3ReadBytesPerSecond',
    kind: 'bytes-or-off',
    default: 'off',
    accepts: acceptedRate,
    help:
      'Bytes of objects a second that a process reads from the bucket, on the average. Loads wait for their ' +
      'turn within their deadline; lookups do not wait.',
    ...library,
  },
  {
    name: 'WMBT_KV_S3_WRITE_BYTES_PER_SEC',
    field: 's3WriteBytesPerSecond',
    kind: 'bytes-or-off',
    default: 'off',
    accepts: acceptedRate,
    help: 'The same for what a process uploads. What waits is accepted and pending, up to the backlog.',
    ...library,
  },
  {
    name: 'WMBT_KV_LOCAL_DEV',
    field: 'localDevelopment',
    kind: 'boolean',
    default: 'off',
    help: 'Permit `minioadmin`/`minioadmin` for S3 servers that other machines can reach.',
    ...library,
  },
];
