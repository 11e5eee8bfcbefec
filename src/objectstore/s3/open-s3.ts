import { StoreError } from '../../base/errors.ts';
import { directHttp } from '../../http/direct-http.ts';
import type { Http } from '../../platform/http.ts';
import type { Platform } from '../../platform/platform.ts';
import { objectLimits } from '../object-limits.ts';
import type { RequestLedger } from '../request-ledger.ts';
import { proxyFor } from './proxy.ts';
import { addressOf, parseEndpoint } from './s3-address.ts';
import { S3Connection } from './s3-connection.ts';
import { CredentialCache, refuseWellKnownPair } from './s3-credentials.ts';
import type { CredentialSource, S3Credentials } from './s3-credentials.ts';
import { S3ObjectStore } from './s3-object-store.ts';
import type { S3Sizes } from './s3-object-store.ts';
import { parseS3Url, s3UrlOf } from './s3-url.ts';

/** What is needed besides the URL. Everything may be left out. */
export interface S3Settings {
  /** Where the URL names none. */
  readonly endpoint?: string | undefined;
  /** `us-east-1` by default. */
  readonly region?: string | undefined;
  /** By default with an endpoint. */
  readonly isPathStyle?: boolean | undefined;
  /** Both, or neither: then the usual places of AWS are looked at. */
  readonly accessKey?: string | undefined;
  readonly secretKey?: string | undefined;
  /** Certificates in PEM, trusted besides those of Node. */
  readonly certificates?: string | undefined;
  /** Permits the well-known credentials of local servers on any host. */
  readonly isLocalDevelopment?: boolean | undefined;
  /** Where bodies are cut; for tests. */
  readonly sizes?: S3Sizes | undefined;
  /** Gets every request that goes over the wire. */
  readonly ledger?: RequestLedger | undefined;
  /** What requests go through; when absent the network, or the proxy that the environment names. */
  readonly http?: Http | undefined;
}

const defaultRegion = 'us-east-1';

/**
 * The object store of an `s3:` URL. Nothing is sent before the first call.
 *
 * @throws StoreError `INVALID` naming what is wrong with the URL or the settings.
 */
export function openS3(url: string, platform: Platform, settings: S3Settings = {}): S3ObjectStore {
  const { bucket, root, endpoint: endpointOfUrl } = parseS3Url(url);
  const endpoint = endpointOfUrl ?? originOf(settings.endpoint);
  const { region = defaultRegion, isPathStyle, certificates, ledger } = settings;
  const address = addressOf({ bucket, endpoint, region, isPathStyle });
  const http = settings.http ?? directHttp(platform);
  const origin = http.open({
    origin: address.origin,
    connectionsMax: objectLimits.s3ConnectionsMax,
    certificates,
    proxy: proxyFor(address.origin, platform.environment),
  });
  const source = checkedSource(credentialSource(platform, settings), address.hostName, settings);
  const connection = new S3Connection({
    ...{ origin, address, region, ledger },
    clock: platform.clock,
    credentials: new CredentialCache(source, platform.clock),
  });
  const canonical = s3UrlOf({ bucket, root, endpoint });
  return new S3ObjectStore({ url: canonical, root, connection, sizes: settings.sizes });
}

function originOf(endpoint: string | undefined): string | undefined {
  return endpoint === undefined ? undefined : parseEndpoint(endpoint).origin;
}

/** The keys of the settings, else of the environment, else whatever AWS's own chain finds. */
function credentialSource(platform: Platform, settings: S3Settings): CredentialSource {
  const { accessKey, secretKey } = settings;
  if (accessKey !== undefined || secretKey !== undefined) {
    if (accessKey === undefined || secretKey === undefined) {
      throw new StoreError(
        'INVALID',
        'one of WMBT_KV_S3_ACCESS_KEY and WMBT_KV_S3_SECRET_KEY is set; accepted: both, or neither',
      );
    }
    return () => Promise.resolve({ accessKeyId: accessKey, secretAccessKey: secretKey });
  }
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN: sessionToken = '',
  } = platform.environment;
  if (accessKeyId === '' || secretAccessKey === '') return () => platform.cloudCredentials.fetch();
  const fixed: S3Credentials = {
    accessKeyId,
    secretAccessKey,
    sessionToken: sessionToken === '' ? undefined : sessionToken,
  };
  return () => Promise.resolve(fixed);
}

function checkedSource(
  source: CredentialSource,
  hostName: string,
  { isLocalDevelopment = false, accessKey, secretKey }: S3Settings,
): CredentialSource {
  const check = (credentials: S3Credentials): S3Credentials => {
    refuseWellKnownPair(credentials, hostName, isLocalDevelopment);
    return credentials;
  };
  // Where the pair is in the settings it is refused at once, not with the first call.
  if (accessKey !== undefined && secretKey !== undefined) {
    check({ accessKeyId: accessKey, secretAccessKey: secretKey });
  }
  return async () => check(await source());
}
