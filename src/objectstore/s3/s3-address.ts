import { StoreError } from '../../base/errors.ts';
import { quoted } from '../object-key.ts';

/** Where a bucket is. */
export interface S3Place {
  readonly bucket: string;
  /** `http://host:port` or `https://host:port`; the regional one of AWS when absent. */
  readonly endpoint?: string | undefined;
  readonly region: string;
  /** The bucket in the path of the URL rather than in the host name; by default with an endpoint. */
  readonly isPathStyle?: boolean | undefined;
}

/** How requests of a bucket are addressed. */
export interface S3Address {
  /** Where connections go. */
  readonly origin: string;
  /** The `host` header. */
  readonly host: string;
  /** The host without its port, in lower case. */
  readonly hostName: string;
  /** What the path of every request begins with: empty, or `/bucket`. */
  readonly bucketPath: string;
}

/**
 * The address of the bucket.
 *
 * @throws StoreError `INVALID` for an endpoint or a bucket that cannot be one.
 */
export function addressOf({ bucket, endpoint, region, isPathStyle }: S3Place): S3Address {
  const url = parseEndpoint(endpoint ?? `https://s3.${region}.amazonaws.com`);
  const usesPath = isPathStyle ?? endpoint !== undefined;
  if (usesPath) {
    const bucketPath = `/${percentEncoded(bucket)}`;
    return { origin: url.origin, host: url.host, hostName: url.hostname, bucketPath };
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw new StoreError(
      'INVALID',
      `bucket ${quoted(bucket)} cannot be part of a host name; accepted are 3 to 63 lower-case ` +
        'letters, digits, dots and hyphens, or path style',
    );
  }
  return {
    origin: `${url.protocol}//${bucket}.${url.host}`,
    host: `${bucket}.${url.host}`,
    hostName: url.hostname,
    bucketPath: '',
  };
}

/** The path and query of a request, as they are signed and sent. */
export function pathOf(
  { bucketPath }: S3Address,
  key: string | undefined,
  query: Readonly<Record<string, string>> = {},
): string {
  const keyPath = key === undefined ? '' : `/${key.split('/').map(percentEncoded).join('/')}`;
  const path = `${bucketPath}${keyPath}` || '/';
  const pairs = Object.entries(query).map(
    ([name, value]) => `${percentEncoded(name)}=${percentEncoded(value)}`,
  );
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

/**
 * The origin of the endpoint, which may have a slash at its end and nothing more.
 *
 * @throws StoreError `INVALID` saying what is accepted.
 */
export function parseEndpoint(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOrigin =
    url !== undefined &&
    ['http:', 'https:'].includes(url.protocol) &&
    url.username + url.password + url.search + url.hash === '' &&
    url.pathname === '/';
  if (isOrigin) return url;
  // What is wrong may be a password in it, so the text is not shown.
  throw new StoreError(
    'INVALID',
    'the S3 endpoint is not http:// or https:// with a host and a port, and nothing else',
  );
}

/** As S3 canonicalises text: everything but letters, digits, `-`, `_`, `.` and `~` is encoded. */
function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
