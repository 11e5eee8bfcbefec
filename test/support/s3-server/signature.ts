import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { S3ServerError } from './server-error.ts';

/** Whose requests the server takes. */
export interface ServerIdentity {
  readonly accessKey: string;
  readonly secretKey: string;
  /** When set, requests must carry it. */
  readonly sessionToken: string | undefined;
  /** Tokens that were good once. */
  readonly expiredTokens: readonly string[];
  readonly region: string;
}

/** S3 tolerates this much between a request's time and its own. */
const skewMsMax = 15 * 60_000;

const authorizationPattern =
  /^AWS4-HMAC-SHA256 Credential=([^/, ]+)\/(\d{8})\/([^/, ]+)\/s3\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;

/**
 * Checks the signature of a request as AWS describes it, written from that description alone: the
 * signer under test is a library, and a shared fault must not cancel out.
 *
 * @throws S3ServerError for whatever is wrong or missing.
 */
export function checkSignature(
  request: IncomingMessage,
  identity: ServerIdentity,
  nowMs: number,
): void {
  const match = authorizationPattern.exec(request.headers.authorization ?? '');
  if (match === null)
    throw new S3ServerError(403, 'AccessDenied', 'no signature, or a strange one');
  const [, accessKey, day, region, signedNames = '', signature] = match;
  const time = header(request, 'x-amz-date');
  if (!/^\d{8}T\d{6}Z$/.test(time) || !time.startsWith(day ?? '-')) {
    throw new S3ServerError(403, 'AccessDenied', `x-amz-date is ${time}, and the scope's ${day}`);
  }
  if (accessKey !== identity.accessKey) throw new S3ServerError(403, 'InvalidAccessKeyId', '');
  if (region !== identity.region) {
    throw new S3ServerError(400, 'AuthorizationHeaderMalformed', `the region is ${region}`, {
      Region: identity.region,
    });
  }
  checkTime(time, nowMs);
  checkToken(request, identity);
  const names = signedNames.split(';');
  checkSignedNames(request, names);
  const canonical = canonicalRequest(request, names);
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`;
  const key = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(
    (secret, part) =>
      createHmac('sha256', secret)
        .update(part ?? '')
        .digest(),
    `AWS4${identity.secretKey}`,
  );
  if (createHmac('sha256', key).update(text).digest('hex') === signature) return;
  throw new S3ServerError(403, 'SignatureDoesNotMatch', canonical);
}

function checkTime(time: string, nowMs: number): void {
  const iso = time.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5');
  if (Math.abs(Date.parse(iso) - nowMs) <= skewMsMax) return;
  throw new S3ServerError(403, 'RequestTimeTooSkewed', `${time} is too far off`);
}

function checkToken(request: IncomingMessage, identity: ServerIdentity): void {
  const token = request.headers['x-amz-security-token'];
  if (token === identity.sessionToken) return;
  if (typeof token === 'string' && identity.expiredTokens.includes(token)) {
    throw new S3ServerError(400, 'ExpiredToken', 'The provided token has expired.');
  }
  throw new S3ServerError(403, 'InvalidToken', 'the session token is another one');
}

/** The host and all that S3 gives a meaning to must be covered by the signature. */
function checkSignedNames(request: IncomingMessage, names: readonly string[]): void {
  const sorted = names.toSorted();
  if (names.join() !== sorted.join()) throw new S3ServerError(403, 'AccessDenied', 'not sorted');
  const needed = Object.keys(request.headers).filter(
    (name) => name === 'host' || name.startsWith('x-amz-') || name.startsWith('if-'),
  );
  const missing = ['host', 'x-amz-date', 'x-amz-content-sha256', ...needed].filter(
    (name) => !names.includes(name),
  );
  if (missing.length === 0) return;
  throw new S3ServerError(403, 'AccessDenied', `not signed: ${missing.join(', ')}`);
}

function canonicalRequest(request: IncomingMessage, names: readonly string[]): string {
  const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s);
  const pairs = query === '' ? [] : query.split('&').map((pair) => pair.split(/=(.*)/s));
  const canonicalQuery = pairs
    .map(([name = '', value = '']) => `${recoded(name)}=${recoded(value)}`)
    .sort()
    .join('&');
  return [
    request.method,
    path.split('/').map(recoded).join('/'),
    canonicalQuery,
    ...names.map((name) => `${name}:${header(request, name).trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    header(request, 'x-amz-content-sha256'),
  ].join('\n');
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  if (typeof value === 'string') return value;
  throw new S3ServerError(403, 'AccessDenied', `no header ${name}`);
}

function recoded(text: string): string {
  const bytes = Buffer.from(decodeURIComponent(text));
  return [...bytes]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      if (/[A-Za-z0-9_.~-]/.test(character)) return character;
      return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
