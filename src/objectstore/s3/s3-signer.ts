import aws4 from 'aws4';
import { isoTimeOf } from '../../platform/calendar.ts';
import type { S3Credentials } from './s3-credentials.ts';

/** What a signature covers. Bodies are covered by their CRC32C, which is a signed header. */
export interface SignableRequest {
  readonly method: string;
  /** Encoded path and query. */
  readonly path: string;
  /** With `host`, in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly region: string;
  /** The time of the request, by the server's clock. */
  readonly timeMs: number;
}

/** The headers with those of a signature (AWS Signature Version 4), names in lower case. */
export function signedHeaders(
  request: SignableRequest,
  credentials: S3Credentials,
): Record<string, string> {
  const { method, path, region } = request;
  const headers = {
    ...request.headers,
    'x-amz-date': isoTimeOf(request.timeMs).replace(/[-:]|\.\d{3}/g, ''),
    'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
  };
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const keys = { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  const signed = aws4.sign({ service: 's3', region, method, path, headers }, keys);
  return Object.fromEntries(
    Object.entries(signed.headers ?? {}).map(([name, value]) => [
      name.toLowerCase(),
      String(value),
    ]),
  );
}
