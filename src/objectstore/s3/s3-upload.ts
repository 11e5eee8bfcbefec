import { crc32cCombine } from '../../base/crc32c.ts';
import { StoreError } from '../../base/errors.ts';
import type { Call } from '../call-gate.ts';
import { objectLimits } from '../object-limits.ts';
import type { ObjectKey } from '../object-store.ts';
import { runPartLanes } from './part-lanes.ts';
import { crcHeader, crcOfParts, crcText, requireStoredCrc } from './s3-checksum.ts';
import type { S3Connection, S3Response } from './s3-connection.ts';
import { failureOf, refusalOf } from './s3-failure.ts';
import { plainEtag, strange } from './s3-object-facts.ts';
import { childText, parseXml, xmlText } from './s3-xml.ts';

export interface UploadRequest {
  readonly key: ObjectKey;
  readonly parts: readonly Uint8Array[];
  readonly partBytes: number;
  /** Whether the server takes checksums. */
  readonly hasChecksums: boolean;
  /** Headers of the request that makes the object: its condition. */
  readonly headers: Readonly<Record<string, string>>;
  readonly call: Call;
  readonly signal: AbortSignal;
}

/** The last step of an upload: 200, 404 or 412, and the tag of the object where the server tells it. */
export interface CompletedUpload {
  readonly status: number;
  readonly etag?: string | undefined;
}

/** A part that the server has. */
interface UploadedPart {
  readonly number: number;
  readonly etag: string;
  readonly crc: number;
  readonly byteLength: number;
}

interface PartOfBody {
  readonly number: number;
  readonly views: readonly Uint8Array[];
}

/**
 * Puts a long body in parts, side by side, which become the object in one last step. Parts of an upload that fails are removed; those of a process that
 * dies stay, unseen and billed, until a rule of the bucket removes them.
 */
export async function uploadInParts(
  connection: S3Connection,
  request: UploadRequest,
): Promise<CompletedUpload> {
  const { key, signal, call } = request;
  const uploadId = await begin(connection, request);
  try {
    const limit = objectLimits.s3PartsInFlightMax;
    const bodies = partsOf(request.parts, request.partBytes);
    const uploaded = await runPartLanes(bodies, { limit, signal }, (part, laneSignal) => {
      call.check();
      return putPart(connection, { ...request, signal: laneSignal }, uploadId, part);
    });
    call.check();
    return await complete(connection, request, uploadId, uploaded);
  } catch (error) {
    await abandon(connection, key, uploadId);
    throw error;
  }
}

async function begin(
  connection: S3Connection,
  { key, signal, hasChecksums }: UploadRequest,
): Promise<string> {
  const what = `put of ${key}: begin`;
  const checksum = { 'x-amz-checksum-algorithm': 'CRC32C', 'x-amz-checksum-type': 'FULL_OBJECT' };
  const response = await connection.send({
    ...{ what, method: 'POST', key, signal },
    query: { uploads: '' },
    headers: hasChecksums ? checksum : {},
  });
  const uploadId = childText(parseXml(response.body, what), 'UploadId');
  if (uploadId === undefined || uploadId === '') throw strange(what, 'no upload id');
  return uploadId;
}

async function putPart(
  connection: S3Connection,
  { key, signal, hasChecksums }: UploadRequest,
  uploadId: string,
  { number, views }: PartOfBody,
): Promise<UploadedPart> {
  const what = `put of ${key}: part ${number}`;
  const crc = crcOfParts(views);
  const response = await connection.send({
    ...{ what, method: 'PUT', key, signal, body: views },
    query: { partNumber: String(number), uploadId },
    headers: hasChecksums ? { [crcHeader]: crcText(crc) } : {},
  });
  requireStoredCrc(what, response, crc);
  const etag = response.headers['etag'];
  if (etag === undefined) throw strange(what, 'no etag');
  const byteLength = views.reduce((sum, view) => sum + view.length, 0);
  return { number, etag: plainEtag(etag), crc, byteLength };
}

async function complete(
  connection: S3Connection,
  { key, signal, headers, hasChecksums }: UploadRequest,
  uploadId: string,
  parts: readonly UploadedPart[],
): Promise<CompletedUpload> {
  const what = `put of ${key}: complete`;
  const crc = parts.reduce((sum, part) => crc32cCombine(sum, part.crc, part.byteLength), 0);
  const checksum = { [crcHeader]: crcText(crc), 'x-amz-checksum-type': 'FULL_OBJECT' };
  const response = await connection.send({
    ...{ what, method: 'POST', key, signal },
    query: { uploadId },
    headers: { 'content-type': 'application/xml', ...headers, ...(hasChecksums && checksum) },
    body: [completionOf(parts, hasChecksums)],
    answers: [404, 412],
  });
  if (response.status === 404) requireMissingObject(what, response);
  if (response.status !== 200) return { status: response.status };
  // The status was sent before the work was done; the body says what became of it.
  const result = parseXml(response.body, what);
  if (result.name === 'CompleteMultipartUploadResult') {
    return { status: 200, etag: childText(result, 'ETag') };
  }
  const failure = failureOf(response, response.body);
  if (failure.code === 'PreconditionFailed') return { status: 412 };
  throw refusalOf(what, { ...failure, status: 500 }, response);
}

/** A condition on an absent object is answered by the same status as a forgotten upload. */
function requireMissingObject(what: string, response: S3Response): void {
  if (response.failure?.code !== 'NoSuchUpload') return;
  throw new StoreError('UNAVAILABLE', `${what}: the server has forgotten the upload`);
}

function completionOf(parts: readonly UploadedPart[], hasChecksums: boolean): Uint8Array {
  const items = parts.map(({ number, etag, crc }) => {
    const checksum = hasChecksums ? `<ChecksumCRC32C>${crcText(crc)}</ChecksumCRC32C>` : '';
    const tag = `<ETag>${xmlText(`"${etag}"`)}</ETag>`;
    return `<Part><PartNumber>${number}</PartNumber>${tag}${checksum}</Part>`;
  });
  const text = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${items.join('')}</CompleteMultipartUpload>`;
  return new TextEncoder().encode(text);
}

/** Removes the parts. A failure leaves them to the bucket's own rules, as a crash does. */
async function abandon(connection: S3Connection, key: ObjectKey, uploadId: string): Promise<void> {
  const deadlineMs = objectLimits.s3CleanUpMs;
  const { signal } = new AbortController();
  const what = `put of ${key}: abandon`;
  await connection
    .send({
      ...{ what, key, signal, deadlineMs },
      method: 'DELETE',
      query: { uploadId },
      answers: [404],
    })
    .catch(() => undefined);
}

/** The body cut into parts, as views of the caller's memory. */
function partsOf(pieces: readonly Uint8Array[], partBytes: number): readonly PartOfBody[] {
  const parts: PartOfBody[] = [];
  let views: Uint8Array[] = [];
  let room = partBytes;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length;) {
      const view = piece.subarray(at, at + room);
      views.push(view);
      at += view.length;
      room -= view.length;
      if (room > 0) continue;
      parts.push({ number: parts.length + 1, views });
      views = [];
      room = partBytes;
    }
  }
  if (views.length > 0) parts.push({ number: parts.length + 1, views });
  return parts;
}
