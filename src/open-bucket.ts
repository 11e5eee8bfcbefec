import { messageOf, StoreError, systemErrorCode } from './base/errors.ts';
import { isBucketUrl } from './config/object-store-url.ts';
import type { ResolvedStoreConfig } from './config/store-config.ts';
import { openObjectStore } from './objectstore/open-object-store.ts';
import type { ObjectStore } from './objectstore/object-store.ts';
import type { RequestLedger } from './objectstore/request-ledger.ts';
import type { Platform } from './platform/platform.ts';

/** Certificates of a whole system are about a quarter of this. */
const certificateBytesMax = 1024 * 1024;

/**
 * Opens the object store of the configuration. Nothing is asked of it.
 *
 * @throws StoreError `INVALID` for settings that cannot be used.
 */
export async function openBucket(
  config: ResolvedStoreConfig,
  platform: Platform,
  ledger?: RequestLedger,
): Promise<ObjectStore> {
  if (!isBucketUrl(config.objectStore)) {
    return openObjectStore(config.objectStore, platform, { ledger });
  }
  const { s3AccessKey, s3SecretKey, s3PathStyle, s3CaFile } = config;
  const s3 = {
    region: config.s3Region,
    isLocalDevelopment: config.localDevelopment,
    ...(s3PathStyle === 'auto' ? {} : { isPathStyle: s3PathStyle === 'on' }),
    ...(s3AccessKey === '' ? {} : { accessKey: s3AccessKey }),
    ...(s3SecretKey === '' ? {} : { secretKey: s3SecretKey }),
    ...(s3CaFile === '' ? {} : { certificates: await readCertificates(platform, s3CaFile) }),
  };
  const bandwidth = {
    readBytesPerSecond: config.s3ReadBytesPerSecond || undefined,
    writeBytesPerSecond: config.s3WriteBytesPerSecond || undefined,
  };
  return openObjectStore(config.objectStore, platform, { s3, ledger, bandwidth });
}

async function readCertificates({ files }: Platform, path: string): Promise<string> {
  let text: string;
  try {
    text = new TextDecoder().decode(await files.readSmall(path, certificateBytesMax));
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    const message = `WMBT_KV_S3_CA_FILE: ${path} cannot be read: ${messageOf(error)}`;
    throw new StoreError('INVALID', message, { cause: error });
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new StoreError('INVALID', `WMBT_KV_S3_CA_FILE: ${path} holds no certificate in PEM`);
}
