import { createHash } from 'node:crypto';
import { crc32cByTable } from '../../../src/base/crc32c.ts';
import { crc32c } from '../../../src/base/crc32c.ts';
import { element, S3ServerError } from './server-error.ts';

export interface StoredObject {
  readonly bytes: Buffer;
  /** With its quotes, as it goes over the wire. */
  readonly etag: string;
  readonly modified: Date;
  /** Base64, where the putter gave one. */
  readonly checksum: string | undefined;
}

/** What the server knows of conditions and checksums. */
export interface ServerAbilities {
  /** `refused`: 501 for a conditional put. `unquoted`: if-match compares with the bare tag. */
  readonly conditions: 'full' | 'unquoted' | 'refused';
  /** `refused`: 501 for a put with a checksum. `unknown`: the headers are passed over. */
  readonly checksums: 'full' | 'refused' | 'unknown';
  /** The smallest part but the last. */
  readonly partBytesMin: number;
}

export type Headers = Readonly<Record<string, string | undefined>>;

interface Upload {
  readonly key: string;
  readonly parts: Map<number, StoredObject>;
}

const crcHeader = 'x-amz-checksum-crc32c';

/** The objects of one bucket and the uploads under way. Each call is one step: nothing comes between. */
export class ServerBucket {
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, Upload>();
  readonly #abilities: ServerAbilities;
  #uploads = 0;

  constructor(abilities: ServerAbilities) {
    this.#abilities = abilities;
  }

  put(key: string, bytes: Buffer, headers: Headers): StoredObject {
    this.#checkCondition(key, headers);
    const object = this.#object(bytes, headers);
    this.objects.set(key, object);
    return object;
  }

  beginUpload(key: string): string {
    this.#uploads += 1;
    const id = `upload-${this.#uploads}`;
    this.uploads.set(id, { key, parts: new Map() });
    return id;
  }

  putPart(id: string, number: number, bytes: Buffer, headers: Headers): StoredObject {
    if (!(number >= 1 && number <= 10_000)) throw new S3ServerError(400, 'InvalidArgument', '');
    const part = this.#object(bytes, headers);
    this.#upload(id).parts.set(number, part);
    return part;
  }

  /** Makes the object of the parts that the document names, which must be those that were put. */
  completeUpload(id: string, document: string, headers: Headers): StoredObject {
    const { key, parts } = this.#upload(id);
    const wanted = [...document.matchAll(/<Part>.*?<\/Part>/gs)].map(([text]) => text);
    const chosen = wanted.map((text, index) => {
      const number = Number(/<PartNumber>(\d+)</.exec(text)?.[1]);
      const etag = /<ETag>([^<]*)</.exec(text)?.[1]?.replaceAll(/&#34;|&quot;/g, '"');
      const part = parts.get(number);
      if (part === undefined || part.etag !== etag) {
        throw new S3ServerError(400, 'InvalidPart', `${number}`);
      }
      const isLast = index === wanted.length - 1;
      if (!isLast && part.bytes.length < this.#abilities.partBytesMin) {
        throw new S3ServerError(400, 'EntityTooSmall', `part ${number}`);
      }
      return part;
    });
    if (chosen.length === 0) throw new S3ServerError(400, 'MalformedXML', 'no parts');
    this.#checkCondition(key, headers);
    const bytes = Buffer.concat(chosen.map((part) => part.bytes));
    const whole = this.#object(bytes, headers);
    const tags = Buffer.from(chosen.map((part) => part.etag.slice(1, -1)).join(''), 'hex');
    const object = { ...whole, etag: `"${md5(tags)}-${chosen.length}"` };
    this.objects.set(key, object);
    this.uploads.delete(id);
    return object;
  }

  abandonUpload(id: string): void {
    this.#upload(id);
    this.uploads.delete(id);
  }

  /** A page of a list, as XML with keys encoded as in forms. */
  list(query: URLSearchParams): string {
    const prefix = query.get('prefix') ?? '';
    const after = Buffer.from(query.get('start-after') ?? '');
    const limit = Number(query.get('max-keys') ?? 1000);
    const found = [...this.objects.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => Buffer.from(key))
      .filter((key) => after.length === 0 || Buffer.compare(key, after) > 0)
      .sort((a, b) => Buffer.compare(a, b));
    const page = found.slice(0, limit).map((key) => this.#contents(key.toString()));
    const facts = [
      element('KeyCount', page.length),
      element('MaxKeys', limit),
      element('EncodingType', 'url'),
      element('IsTruncated', found.length > limit),
    ];
    return `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${facts.join('')}${page.join('')}</ListBucketResult>`;
  }

  #contents(key: string): string {
    const object = this.objects.get(key);
    if (object === undefined) throw new Error(`no object ${key}`);
    const facts = [
      element('Key', formEncoded(key)),
      element('LastModified', object.modified.toISOString()),
      element('ETag', object.etag),
      element('Size', object.bytes.length),
      element('StorageClass', 'STANDARD'),
    ];
    return `<Contents>${facts.join('')}</Contents>`;
  }

  #upload(id: string): Upload {
    const upload = this.uploads.get(id);
    if (upload === undefined) throw new S3ServerError(404, 'NoSuchUpload', id);
    return upload;
  }

  #checkCondition(key: string, headers: Headers): void {
    const ifNoneMatch = headers['if-none-match'];
    const ifMatch = headers['if-match'];
    if (ifNoneMatch === undefined && ifMatch === undefined) return;
    const { conditions } = this.#abilities;
    if (conditions === 'refused') {
      const Header = ifMatch === undefined ? 'If-None-Match' : 'If-Match';
      throw new S3ServerError(501, 'NotImplemented', 'A header is not implemented', { Header });
    }
    const existing = this.objects.get(key);
    if (ifNoneMatch !== undefined) {
      if (ifNoneMatch !== '*') throw new S3ServerError(501, 'NotImplemented', 'only * is known');
      if (existing !== undefined) throw failedCondition('If-None-Match');
      return;
    }
    if (existing === undefined) throw new S3ServerError(404, 'NoSuchKey', key);
    const expected = conditions === 'unquoted' ? existing.etag.slice(1, -1) : existing.etag;
    if (ifMatch !== expected) throw failedCondition('If-Match');
  }

  #object(bytes: Buffer, headers: Headers): StoredObject {
    const checksum = headers[crcHeader];
    const { checksums } = this.#abilities;
    if (checksum !== undefined && checksums === 'refused') {
      const message = `A header you provided implies functionality: ${crcHeader}`;
      throw new S3ServerError(501, 'NotImplemented', message);
    }
    if (checksum !== undefined && checksums === 'full' && checksum !== crcText(bytes)) {
      throw new S3ServerError(400, 'BadDigest', 'the CRC32C did not match');
    }
    return {
      bytes,
      etag: `"${md5(bytes)}"`,
      modified: new Date(),
      checksum: checksums === 'full' ? checksum : undefined,
    };
  }
}

function failedCondition(Condition: string): S3ServerError {
  return new S3ServerError(412, 'PreconditionFailed', 'a condition did not hold', { Condition });
}

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}

/** The table for short bodies, so that the server does not only repeat what the client does. */
function crcText(bytes: Uint8Array): string {
  const crc = bytes.length < 100_000 ? crc32cByTable(0, bytes) : crc32c(bytes);
  const text = Buffer.alloc(4);
  text.writeUInt32BE(crc);
  return text.toString('base64');
}

function formEncoded(key: string): string {
  return new URLSearchParams({ key }).toString().slice('key='.length).replaceAll('%2F', '/');
}
