import { StoreError } from '../base/errors.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { NativeMode } from '../platform/native.ts';
import type { Host } from '../platform/platform.ts';
import { quote } from './display.ts';
import { nearestName } from './nearest-name.ts';
import { objectStoreDirectory, withEndpoint } from './object-store-url.ts';
import { fieldResolvers, wrongType } from './store-fields.ts';

/** How blocks are compressed in the object store. */
export type Compression = 'zstd' | 'off';

/**
 * Whether objects of the Rust version (format v1) are read. `auto`: in namespaces that hold one when
 * the process first has to know.
 */
export type ReadV1 = 'auto' | 'on' | 'off';

/** In which format new objects are written, where it can hold them. */
export type WriteFormat = 'v1' | 'v2';

/** Where an S3 bucket is named in requests. */
export type S3PathStyle = 'auto' | 'on' | 'off';

/**
 * How a store is opened. Every field may be left out; `resolveStoreConfig` fills the defaults, and
 * docs/CONFIG.md lists the variables of the environment that set the same.
 *
 * Of the Rust crate's `CabiConfig` these are here: `namespace`, `puffer_dir` (`cacheDirectory`),
 * `puffer_ram_bytes` (`memoryBytes`), `puffer_disk_bytes` (`diskBytes`), `s3_prefix` (`keyPrefix`).
 * An S3 bucket is `bucket` and the fields behind it, or a URL in `objectStore`.
 * `remote_prefix`, `tcp_addr` and `http_addr` name a daemon: `connect()` is given its address;
 * `puffer_block_size_bytes` and `slatedb_path` describe parts that this store does not have.
 *
 * @example
 * const config: StoreConfig = {
 *   namespace: 'team-a',
 *   objectStore: 'file:///srv/wombatkv',
 *   diskBytes: 32 * 1024 ** 3,
 * };
 */
export interface StoreConfig {
  /** Name that keeps tenants apart, where a call names none. Empty: `default`. */
  readonly namespace?: string | undefined;
  /**
   * `file:///path` (percent-encoded), `s3://bucket/prefix` or `memory:`. `~/` after `file://` is the
   * home directory.
   */
  readonly objectStore?: string | undefined;
  /** Bound of the object store; `false` for none. The default is 20 GiB for a directory. */
  readonly objectStoreBytesMax?: number | false | undefined;
  /** Prefix of every object key; empty for none. */
  readonly keyPrefix?: string | undefined;
  /** Absolute path, or one below `~/`; `false` for no disk tier. */
  readonly cacheDirectory?: string | false | undefined;
  /** Budget of the memory tier. */
  readonly memoryBytes?: number | undefined;
  /** Budget of the disk tier; 0 for no disk tier. */
  readonly diskBytes?: number | undefined;
  readonly compression?: Compression | undefined;
  /** Level of zstd, 1 to 22. */
  readonly compressionLevel?: number | undefined;
  readonly readV1?: ReadV1 | undefined;
  /** `v1` writes what the Rust version reads; then `readV1` cannot be `off`. */
  readonly writeFormat?: WriteFormat | undefined;
  /** A save returns when the object store confirmed, also where the call did not ask for it. */
  readonly putDurable?: boolean | undefined;
  readonly lookupDeadlineMs?: number | undefined;
  readonly loadDeadlineMs?: number | undefined;
  /** Caps the deadline of every call but flush. */
  readonly callDeadlineMsMax?: number | undefined;
  /** `off`: no native code in this process, whatever there is. The last store that opens decides. */
  readonly native?: NativeMode | undefined;
  /** S3 bucket, where `objectStore` is left out. Empty: none. */
  readonly bucket?: string | undefined;
  /** `http://host:port` of an S3 server, where `objectStore` names none. Empty: AWS. */
  readonly s3Endpoint?: string | undefined;
  /** Both keys, or neither: then the usual places of AWS are looked at. */
  readonly s3AccessKey?: string | undefined;
  readonly s3SecretKey?: string | undefined;
  readonly s3Region?: string | undefined;
  /** File of certificates that are trusted besides those of Node. Empty: none. */
  readonly s3CaFile?: string | undefined;
  /** Bucket in the path of the URL rather than in the host name; `auto`: with an endpoint. */
  readonly s3PathStyle?: S3PathStyle | undefined;
  /** Bytes a second that are read from a bucket and written there, at least 1 MiB; `false` for no bound. */
  readonly s3ReadBytesPerSecond?: number | false | undefined;
  readonly s3WriteBytesPerSecond?: number | false | undefined;
  /** Permits the well-known credentials of local S3 servers on any host. */
  readonly localDevelopment?: boolean | undefined;
}

/**
 * A configuration in which nothing is left open. It is a `StoreConfig` again, and resolving it
 * changes nothing. Either there is a disk tier, or `cacheDirectory` is false and `diskBytes` is 0.
 */
export interface ResolvedStoreConfig {
  readonly namespace: Namespace;
  /** Canonical: equal text means the same directory, links aside. */
  readonly objectStore: string;
  readonly objectStoreBytesMax: number | false;
  /** Without `/` at either end; empty for none. */
  readonly keyPrefix: string;
  /** Absolute and normalised. */
  readonly cacheDirectory: string | false;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly compression: Compression;
  readonly compressionLevel: number;
  /** `on` where `writeFormat` is `v1`. */
  readonly readV1: ReadV1;
  readonly writeFormat: WriteFormat;
  readonly putDurable: boolean;
  readonly lookupDeadlineMs: number;
  readonly loadDeadlineMs: number;
  /** The store takes the smaller of this and a call's own deadline. */
  readonly callDeadlineMsMax: number;
  readonly native: NativeMode;
  /** As it was given; `objectStore` says what holds. */
  readonly bucket: string;
  /** Canonical; `objectStore` says what holds. */
  readonly s3Endpoint: string;
  readonly s3AccessKey: string;
  readonly s3SecretKey: string;
  readonly s3Region: string;
  readonly s3CaFile: string;
  readonly s3PathStyle: S3PathStyle;
  readonly s3ReadBytesPerSecond: number | false;
  readonly s3WriteBytesPerSecond: number | false;
  readonly localDevelopment: boolean;
}

/** The fields that a bucket needs besides the URL of the object store. */
export type BucketAccessField =
  'localDevelopment' | Extract<keyof ResolvedStoreConfig, `s3${string}`>;

/** The part of a configuration that {@link BucketAccessField} names. */
export function bucketAccessOf(
  config: ResolvedStoreConfig,
): Pick<ResolvedStoreConfig, BucketAccessField> {
  const { s3Endpoint, s3AccessKey, s3SecretKey, s3Region, s3CaFile, s3PathStyle } = config;
  const keys = { s3AccessKey, s3SecretKey };
  const { s3ReadBytesPerSecond, s3WriteBytesPerSecond, localDevelopment } = config;
  const rates = { s3ReadBytesPerSecond, s3WriteBytesPerSecond };
  return { s3Endpoint, ...keys, s3Region, s3CaFile, s3PathStyle, ...rates, localDevelopment };
}

/** A configuration from outside, of which nothing is known but its fields. */
export type UncheckedStoreConfig = { readonly [Field in keyof StoreConfig]: unknown };

/**
 * Fills what is left out and checks every field.
 *
 * @throws TypeError for a field of the wrong type or name, RangeError for a value out of range;
 *   the message names the field. StoreError `INVALID` when the object store's directory and the
 *   cache directory lie inside one another, or a path needs a home directory that is none.
 */
export function resolveStoreConfig(config: UncheckedStoreConfig, host: Host): ResolvedStoreConfig {
  refuseUnknownFields(config);
  const objectStore = resolveObjectStore(config, host);
  const hasLimit =
    config.objectStoreBytesMax !== undefined || objectStoreDirectory(objectStore) !== undefined;
  return {
    namespace: fieldResolvers.namespace(config.namespace),
    objectStore,
    objectStoreBytesMax: fieldResolvers.objectStoreBytesMax(
      hasLimit ? config.objectStoreBytesMax : false,
    ),
    keyPrefix: fieldResolvers.keyPrefix(config.keyPrefix),
    ...resolveDiskTier(config, objectStore, host),
    memoryBytes: fieldResolvers.memoryBytes(config.memoryBytes),
    compression: fieldResolvers.compression(config.compression),
    ...resolveFormats(config),
    putDurable: fieldResolvers.putDurable(config.putDurable),
    lookupDeadlineMs: fieldResolvers.lookupDeadlineMs(config.lookupDeadlineMs),
    loadDeadlineMs: fieldResolvers.loadDeadlineMs(config.loadDeadlineMs),
    callDeadlineMsMax: fieldResolvers.callDeadlineMsMax(config.callDeadlineMsMax),
    native: fieldResolvers.native(config.native),
    ...resolveBucket(config, host),
  };
}

function refuseUnknownFields(config: UncheckedStoreConfig): void {
  if (typeof config !== 'object' || config === null) {
    throw wrongType('the store configuration', 'an object', config);
  }
  const known = Object.keys(fieldResolvers);
  for (const field of Object.keys(config)) {
    if (known.includes(field)) continue;
    throw new TypeError(
      `the store configuration has no field ${quote(field)}; ` +
        `the nearest is ${nearestName(field, known)}`,
    );
  }
}

/** Keys, and where to look for the server. What they belong to is in the object store's URL. */
function resolveBucket(
  config: UncheckedStoreConfig,
  host: Host,
): Pick<ResolvedStoreConfig, 'bucket' | BucketAccessField> {
  return {
    s3AccessKey: fieldResolvers.s3AccessKey(config.s3AccessKey),
    s3SecretKey: fieldResolvers.s3SecretKey(config.s3SecretKey),
    bucket: fieldResolvers.bucket(config.bucket),
    s3Endpoint: fieldResolvers.s3Endpoint(config.s3Endpoint),
    s3Region: fieldResolvers.s3Region(config.s3Region),
    s3CaFile: fieldResolvers.s3CaFile(config.s3CaFile, host),
    s3PathStyle: fieldResolvers.s3PathStyle(config.s3PathStyle),
    s3ReadBytesPerSecond: fieldResolvers.s3ReadBytesPerSecond(config.s3ReadBytesPerSecond),
    s3WriteBytesPerSecond: fieldResolvers.s3WriteBytesPerSecond(config.s3WriteBytesPerSecond),
    localDevelopment: fieldResolvers.localDevelopment(config.localDevelopment),
  };
}

/** A URL wins over a bucket, and a bucket over the directory below the home directory. */
function resolveObjectStore(config: UncheckedStoreConfig, host: Host): string {
  const bucket = fieldResolvers.bucket(config.bucket);
  const endpoint = fieldResolvers.s3Endpoint(config.s3Endpoint);
  const given =
    config.objectStore === undefined && bucket !== '' ? `s3://${bucket}` : config.objectStore;
  if (given !== undefined || endpoint === '') {
    return withEndpoint(fieldResolvers.objectStore(given, host), endpoint);
  }
  throw new StoreError(
    'INVALID',
    's3Endpoint (WMBT_KV_S3_ENDPOINT) names an S3 server and nothing names a bucket; accepted: ' +
      'bucket (WMBT_KV_BUCKET), or objectStore (WMBT_KV_OBJECT_STORE), besides',
  );
}

/** Who writes v1 reads it: else a store would not find what it stored itself. */
function resolveFormats(
  config: UncheckedStoreConfig,
): Pick<ResolvedStoreConfig, 'compressionLevel' | 'readV1' | 'writeFormat'> {
  const writeFormat = fieldResolvers.writeFormat(config.writeFormat);
  const readV1 = fieldResolvers.readV1(config.readV1);
  if (writeFormat === 'v1' && readV1 === 'off') {
    throw new StoreError(
      'INVALID',
      'writeFormat (WMBT_KV_WRITE_FORMAT) is v1 and readV1 (WMBT_KV_READ_V1) is off: a store ' +
        'would not find what it wrote; accepted: auto or on',
    );
  }
  // The level of the Rust version, for who writes for it.
  const usualLevel = writeFormat === 'v1' ? 3 : undefined;
  return {
    compressionLevel: fieldResolvers.compressionLevel(
      config.compressionLevel === undefined ? usualLevel : config.compressionLevel,
    ),
    readV1: writeFormat === 'v1' ? 'on' : readV1,
    writeFormat,
  };
}

/** The configuration as it may be shown: keys are only said to be set. */
export function withoutSecrets(config: ResolvedStoreConfig): ResolvedStoreConfig {
  const shown = (secret: string): string => (secret === '' ? '' : '(not shown)');
  const { s3AccessKey, s3SecretKey } = config;
  return { ...config, s3AccessKey: shown(s3AccessKey), s3SecretKey: shown(s3SecretKey) };
}

function resolveDiskTier(
  config: UncheckedStoreConfig,
  objectStore: string,
  host: Host,
): Pick<ResolvedStoreConfig, 'cacheDirectory' | 'diskBytes'> {
  const cacheDirectory = fieldResolvers.cacheDirectory(config.cacheDirectory, host);
  const diskBytes = fieldResolvers.diskBytes(config.diskBytes);
  if (cacheDirectory === false || diskBytes === 0) return { cacheDirectory: false, diskBytes: 0 };
  refuseNesting(objectStoreDirectory(objectStore), cacheDirectory);
  return { cacheDirectory, diskBytes };
}

/**
 * The cache may be wiped at any time and the object store never, so neither lies in the other.
 * Paths are compared as text: a link between them is not seen.
 */
function refuseNesting(objectDirectory: string | undefined, cacheDirectory: string): void {
  if (objectDirectory === undefined) return;
  const isNested =
    isInside(objectDirectory, cacheDirectory) || isInside(cacheDirectory, objectDirectory);
  if (!isNested) return;
  throw new StoreError(
    'INVALID',
    `objectStore (WMBT_KV_OBJECT_STORE) is the directory ${quote(objectDirectory)} and ` +
      `cacheDirectory (WMBT_KV_PUFFER_DIR) is ${quote(cacheDirectory)}: ` +
      'neither may lie inside the other, because a cache may be wiped',
  );
}

/** True when the normalised path is the directory or lies below it. */
function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);
}
