import { StoreError } from '../../base/errors.ts';
import { momentOf } from '../../platform/calendar.ts';
import type { HttpHead } from '../../platform/http.ts';
import { quoted } from '../object-key.ts';
import { Refusal } from '../refusal.ts';
import type { RefusalKind } from '../refusal.ts';
import { childText, parseXml } from './s3-xml.ts';

/** What an answer says went wrong. */
export interface S3Failure {
  readonly status: number;
  /** S3's own word, such as `NoSuchKey`; empty where there is no body, as for HEAD. */
  readonly code: string;
  readonly message: string;
  /** The header that a server does not know, where it says so. */
  readonly header: string;
  /** The region that the bucket is in, where the server says so. */
  readonly region: string;
}

/** Faults of transport or of the server that answers 400 to them. */
const transientCodes: ReadonlySet<string> = new Set([
  'RequestTimeout',
  'IncompleteBody',
  'BadDigest',
  'InvalidDigest',
  'XAmzContentChecksumMismatch',
  'XAmzContentSHA256Mismatch',
  'InternalError',
  'OperationAborted',
  'ConditionalRequestConflict',
]);

const throttlingCodes: ReadonlySet<string> = new Set([
  'SlowDown',
  'ServiceUnavailable',
  'Throttling',
  'ThrottlingException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'TooManyRequests',
  'BandwidthLimitExceeded',
]);

const expiryCodes: ReadonlySet<string> = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'InvalidToken',
]);

/** Reads the body of an error; one that is not S3's has an empty code. */
export function failureOf({ status, headers }: HttpHead, body: Uint8Array): S3Failure {
  const region = headers['x-amz-bucket-region'] ?? '';
  const nothing = { status, code: '', message: '', header: '', region };
  if (body.length === 0) return nothing;
  try {
    const root = parseXml(body, 'error');
    return {
      status,
      code: childText(root, 'Code') ?? '',
      message: childText(root, 'Message') ?? '',
      header: childText(root, 'Header') ?? '',
      region: childText(root, 'Region') ?? region,
    };
  } catch {
    // A proxy's page, say. The status alone tells what to do.
    return nothing;
  }
}

/** True when the server says that the session token has ended, or cannot say what it is. */
export function isExpiry({ status, code }: S3Failure): boolean {
  return expiryCodes.has(code) || (code === '' && (status === 400 || status === 403));
}

/** The error of a call that was refused. `what` names the call. */
export function refusalOf(what: string, failure: S3Failure, head: HttpHead): StoreError {
  const { status, code, message, region } = failure;
  const name = code === '' ? `status ${status}` : `${code} (status ${status})`;
  const kind = kindOf(failure);
  const detail = message === '' ? '' : `: ${quoted(message)}`;
  const elsewhere =
    status < 400 || code === 'AuthorizationHeaderMalformed'
      ? `; the bucket is in the region ${region || 'of another endpoint'} (WMBT_KV_S3_REGION)`
      : '';
  const cause = new Refusal(kind, `${name}${detail}`, retryAfterOf(head));
  return new StoreError(
    'UNAVAILABLE',
    `${what}: the server refused: ${name}${detail}${elsewhere}`,
    {
      cause,
    },
  );
}

function kindOf({ status, code }: S3Failure): RefusalKind {
  if (throttlingCodes.has(code) || status === 429 || status === 503) return 'throttled';
  if (transientCodes.has(code) || status === 408 || status === 409) return 'transient';
  return status >= 500 && status !== 501 ? 'transient' : 'final';
}

/** Seconds, or a moment by the server's own clock. */
function retryAfterOf({ headers }: HttpHead): number | undefined {
  const text = headers['retry-after'];
  if (text === undefined) return undefined;
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1000;
  const atMs = momentOf(text);
  const nowMs = momentOf(headers['date'] ?? '');
  return atMs === undefined || nowMs === undefined ? undefined : Math.max(0, atMs - nowMs);
}
