// oxlint-disable-next-line import/no-nodejs-modules -- pure functions of bytes, no more of the machine
import { createHmac, hash } from 'node:crypto';
import { isoTimeOf } from '../../platform/calendar.ts';
import type { S3Credentials } from './s3-credentials.ts';

/** What a signature covers. Bodies are covered by their CRC32C, which is a signed header. */
export interface SignableRequest {
  readonly method: string;
  /** Encoded path and query, each character but `A-Z a-z 0-9 - _ . ~` and the separators as `%XX`. */
  readonly path: string;
  /** With `host`, in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly region: string;
  /** The time of the request, by the server's clock. */
  readonly timeMs: number;
}

const algorithm = 'AWS4-HMAC-SHA256';
const bodyDigest = 'UNSIGNED-PAYLOAD';

/**
 * Signs requests (AWS Signature Version 4). The key of a signature depends on the day, the region and
 * the secret, so it is kept from one request to the next: deriving it takes four of its six digests.
 */
export class S3Signer {
  /** What the kept key was derived from. */
  #keyOf = '';
  #key = Buffer.alloc(0);

  /** The headers with those of a signature, names in lower case. */
  signedHeaders(request: SignableRequest, credentials: S3Credentials): Record<string, string> {
    const { method, path, region } = request;
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    const time = isoTimeOf(request.timeMs).replace(/[-:]|\.\d{3}/g, '');
    const headers: Record<string, string> = {
      ...request.headers,
      'x-amz-date': time,
      'x-amz-content-sha256': bodyDigest,
    };
    if (sessionToken !== undefined) headers['x-amz-security-token'] = sessionToken;
    // A proxy may change a range.
    const names = Object.keys(headers)
      .filter((name) => name !== 'range')
      .sort();
    const signedNames = names.join(';');
    let lines = '';
    for (const name of names) lines += `${name}:${headers[name].trim().replace(/ +/g, ' ')}\n`;
    const [resource, query] = splitPath(path);
    const canonical = `${method}\n${resource}\n${query}\n${lines}\n${signedNames}\n${bodyDigest}`;
    const day = time.slice(0, 8);
    const scope = `${day}/${region}/s3/aws4_request`;
    const text = `${algorithm}\n${time}\n${scope}\n${hash('sha256', canonical, 'hex')}`;
    const key = this.#signingKey(day, region, secretAccessKey);
    const signature = createHmac('sha256', key).update(text).digest('hex');
    headers['authorization'] =
      `${algorithm} Credential=${accessKeyId}/${scope}, ` +
      `SignedHeaders=${signedNames}, Signature=${signature}`;
    return headers;
  }

  #signingKey(day: string, region: string, secret: string): Buffer {
    const keyOf = `${day}/${region}/${secret}`;
    if (this.#keyOf !== keyOf) {
      let key = Buffer.from(`AWS4${secret}`);
      for (const part of [day, region, 's3', 'aws4_request']) {
        key = createHmac('sha256', key).update(part).digest();
      }
      this.#key = key;
      this.#keyOf = keyOf;
    }
    return this.#key;
  }
}

/** The path, and the query with its pairs in the order of their encoded names. */
function splitPath(path: string): readonly [string, string] {
  const mark = path.indexOf('?');
  if (mark < 0) return [path, ''];
  const pairs = path.slice(mark + 1).split('&');
  return [path.slice(0, mark), pairs.sort().join('&')];
}
