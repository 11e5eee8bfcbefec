import type { HttpBodyPlan, HttpHead } from '../../platform/http.ts';
import { assertDefined } from '../../base/assert.ts';
import { StoreError } from '../../base/errors.ts';
import { memoryForBody, unchangedBody } from '../call-arguments.ts';
import { objectLimits } from '../object-limits.ts';
import type { ByteRange, GetOptions, ObjectBody, ObjectInfo, ObjectKey } from '../object-store.ts';
import { runPartLanes } from './part-lanes.ts';
import { requireBodyCrc } from './s3-checksum.ts';
import { exchangeMs } from './s3-connection.ts';
import type { S3Connection, S3Response } from './s3-connection.ts';
import { bodyLength, contentRangeOf, infoOfHead, md5OfHead, strange } from './s3-object-facts.ts';

export interface DownloadSizes {
  /** Larger bodies are got in parts. */
  readonly parallelBytesMin: number;
  readonly partBytes: number;
}

/** One get: the key, what the caller wants, and the signal that ends it. */
export interface DownloadRequest {
  readonly key: ObjectKey;
  readonly options: GetOptions;
  readonly signal: AbortSignal;
}

/** What stands in the memory of the caller. */
interface Landing {
  readonly info: ObjectInfo;
  /** All of it. */
  readonly bytes: Uint8Array;
  /** Bytes from the start that the first answer fills. */
  readonly landed: number;
  readonly md5: string | undefined;
}

/**
 * Reads bodies into the memory of the caller. A whole body comes in one answer; of a long one only
 * the first part is taken from it, and the others are asked for side by side, each if the object is
 * still the same.
 */
export class S3Download {
  readonly #connection: S3Connection;
  readonly #sizes: DownloadSizes;

  constructor(connection: S3Connection, sizes: DownloadSizes) {
    this.#connection = connection;
    this.#sizes = sizes;
  }

  /** The body, or undefined for an absent object. */
  async get(request: DownloadRequest): Promise<ObjectBody | undefined> {
    const { range } = request.options;
    if (range === undefined) return this.#getWhole(request);
    if (range.length === 0) return this.#getNothing(request);
    for (let attempt = 1; ; attempt += 1) {
      const body = await this.#getRange(request, range);
      if (body !== 'past the end') return body;
      const info = await this.head(request);
      if (info === undefined) return undefined;
      if (info.byteLength <= range.offset) return emptyBody(info, request.options);
      // It has grown since; the range is asked for again.
      if (attempt === objectLimits.s3RangeAttemptsMax) {
        throw strange(request.key, `no byte ${range.offset} and ${info.byteLength} bytes`);
      }
    }
  }

  async head({ key, signal }: Omit<DownloadRequest, 'options'>): Promise<ObjectInfo | undefined> {
    const what = `head of ${key}`;
    const head = await this.#connection.send({
      ...{ what, method: 'HEAD', key, signal },
      answers: [404],
    });
    return head.status === 404 ? undefined : infoOfHead(key, head, bodyLength(key, head));
  }

  async #getWhole(request: DownloadRequest): Promise<ObjectBody | undefined> {
    const { key, signal } = request;
    const { unlessEtag } = request.options;
    let landing: Landing | undefined;
    const response = await this.#connection.send({
      what: `get of ${key}`,
      method: 'GET',
      ...{ key, signal },
      headers: {
        'x-amz-checksum-mode': 'ENABLED',
        ...(unlessEtag === undefined ? {} : { 'if-none-match': `"${unlessEtag}"` }),
      },
      answers: unlessEtag === undefined ? [404] : [304, 404],
      receive: (head) => {
        landing = this.#landWhole(request, head);
        const { bytes, landed } = landing;
        return planOf(bytes.subarray(0, landed), landed < bytes.length);
      },
      deadlineMs: exchangeMs(this.#sizes.parallelBytesMin),
    });
    if (response.status === 404) return undefined;
    if (response.status === 304 && unlessEtag !== undefined) return unchangedBody(key, unlessEtag);
    const landed = assertDefined(landing, 'the landing of a body');
    const { info, bytes, md5 } = landed;
    if (landed.landed < bytes.length) await this.#getRest(landed, signal);
    requireBodyCrc(`get of ${key}`, response, bytes);
    return { info, bytes, md5 };
  }

  #landWhole({ key, options, signal }: DownloadRequest, head: HttpHead): Landing {
    if (head.status !== 200) throw strange(key, `the status ${head.status}`);
    const byteLength = bodyLength(key, head);
    const info = infoOfHead(key, head, byteLength);
    const bytes = memoryForBody(options, byteLength);
    requireWanted(key, signal);
    const { parallelBytesMin, partBytes } = this.#sizes;
    const landed = byteLength > parallelBytesMin ? partBytes : byteLength;
    return { info, bytes, landed, md5: md5OfHead(head) };
  }

  /** The parts behind the first, side by side. */
  async #getRest({ info, bytes, landed }: Landing, signal: AbortSignal): Promise<void> {
    const offsets: number[] = [];
    for (let at = landed; at < bytes.length; at += this.#sizes.partBytes) offsets.push(at);
    const limit = objectLimits.s3PartsInFlightMax;
    await runPartLanes(offsets, { limit, signal }, async (offset, laneSignal) => {
      const length = Math.min(this.#sizes.partBytes, bytes.length - offset);
      const response = await this.#askRange(
        { key: info.key, range: { offset, length }, etag: info.etag, signal: laneSignal },
        (head) => {
          const given = contentRangeOf(info.key, head);
          if (given.offset !== offset || given.length !== length) {
            throw strange(
              info.key,
              `${given.length} bytes from ${given.offset}, not those asked for`,
            );
          }
          return planOf(bytes.subarray(offset, offset + length), false);
        },
      );
      if (response.status < 300) return;
      throw new StoreError('UNAVAILABLE', `get of ${info.key}: it was replaced while it was read`);
    });
  }

  async #getRange(
    { key, options, signal }: DownloadRequest,
    range: ByteRange,
  ): Promise<ObjectBody | 'past the end' | undefined> {
    let body: ObjectBody | undefined;
    const response = await this.#askRange({ key, range, signal }, (head) => {
      const given = contentRangeOf(key, head);
      const expected = Math.min(range.length, given.byteLength - range.offset);
      if (given.offset !== range.offset || given.length !== expected) {
        throw strange(key, `${given.length} bytes from ${given.offset}, not those asked for`);
      }
      const info = infoOfHead(key, head, given.byteLength);
      const bytes = memoryForBody(options, given.length);
      requireWanted(key, signal);
      body = { info, bytes };
      return planOf(bytes, false);
    });
    if (response.status === 404) return undefined;
    return response.status === 416 ? 'past the end' : body;
  }

  #askRange(
    request: {
      readonly key: ObjectKey;
      readonly range: ByteRange;
      readonly etag?: string;
      readonly signal: AbortSignal;
    },
    receive: (head: HttpHead) => HttpBodyPlan,
  ): Promise<S3Response> {
    const { key, range, etag, signal } = request;
    const last = Math.min(range.offset + range.length - 1, Number.MAX_SAFE_INTEGER);
    return this.#connection.send({
      what: `get of ${key}`,
      method: 'GET',
      ...{ key, signal },
      headers: {
        range: `bytes=${range.offset}-${last}`,
        ...(etag === undefined ? {} : { 'if-match': `"${etag}"` }),
      },
      answers: etag === undefined ? [404, 416] : [404, 412, 416],
      receive: (head) => {
        if (head.status !== 206) throw strange(key, `the status ${head.status} for a range`);
        return receive(head);
      },
      deadlineMs: exchangeMs(Math.min(range.length, this.#sizes.parallelBytesMin)),
    });
  }

  async #getNothing(request: DownloadRequest): Promise<ObjectBody | undefined> {
    const info = await this.head(request);
    return info === undefined ? undefined : emptyBody(info, request.options);
  }
}

function planOf(bytes: Uint8Array, isRestDropped: boolean): HttpBodyPlan {
  return { kind: 'into', bytes, isRestDropped };
}

function emptyBody(info: ObjectInfo, options: GetOptions): ObjectBody {
  return { info, bytes: memoryForBody(options, 0) };
}

/** The caller may have given up while it made room. */
function requireWanted(key: ObjectKey, signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new StoreError('ABORTED', `get of ${key} was aborted`, { cause: signal.reason });
}
