import { messageOf, StoreError } from '../../base/errors.ts';
import { faultOfKeyText, quoted } from '../object-key.ts';
import { parseEndpoint } from './s3-address.ts';

/** What an `s3:` URL says. */
export interface S3Url {
  readonly bucket: string;
  /** Empty, or names that end in `/`: what every key begins with in the bucket. */
  readonly root: string;
  readonly endpoint: string | undefined;
}

/** What is accepted, in words that follow "accepted is ". */
export const acceptedS3Url =
  's3://bucket/prefix, percent-encoded, with ?endpoint=… where it is not AWS';

/**
 * Reads `s3://bucket/prefix?endpoint=http://host:port`, of which only the bucket must be there.
 *
 * @throws StoreError `INVALID` saying what is wrong.
 */
export function parseS3Url(text: string): S3Url {
  const match = /^s3:\/\/([\w.-]{1,255})(\/[^?#@]*)?(?:\?endpoint=([^&#]+))?$/is.exec(text);
  if (match === null) throw refusal(text, `accepted is ${acceptedS3Url}`);
  const [, bucket = '', path = '', endpoint] = match;
  const root = decoded(text, path).replace(/^\/|\/$/g, '');
  const fault = faultOfKeyText(root);
  if (fault !== undefined) throw refusal(text, `the prefix ${fault}`);
  return {
    bucket,
    root: root === '' ? '' : `${root}/`,
    endpoint: endpoint === undefined ? undefined : parseEndpoint(decoded(text, endpoint)).origin,
  };
}

/** The one URL of that place; {@link parseS3Url} reads it back. */
export function s3UrlOf({ bucket, root, endpoint }: S3Url): string {
  const names = root.split('/').filter((_, index, all) => index < all.length - 1);
  const path = names.map((name) => `/${encodeURIComponent(name)}`).join('');
  const query = endpoint === undefined ? '' : `?endpoint=${endpoint}`;
  return `s3://${bucket}${path}${query}`;
}

function decoded(url: string, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw refusal(url, messageOf(error));
  }
}

function refusal(text: string, why: string): StoreError {
  return new StoreError('INVALID', `object store ${quoted(withoutQuery(text))}: ${why}`);
}

/** What stands before an @ or in the query may be a password. */
function withoutQuery(text: string): string {
  return text.replace(/^.*@/s, '…@').replace(/\?.*$/s, '?…');
}
