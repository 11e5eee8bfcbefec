import { blake3Stream } from '../base/blake3.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import { md5Hex } from '../base/md5.ts';
import { limits } from '../blocks/limits.ts';
import {
  checkFrame,
  decodeFrameHeader,
  frameHeaderLength,
  namespaceDigestOf,
} from '../format/frame.ts';
import type { FrameHeader } from '../format/frame.ts';
import { decodeLegacyBody } from '../format/legacy.ts';
import type { ParsedObjectKey } from '../format/object-keys.ts';
import { loadZstd } from '../format/zstd.ts';
import { decodeNow } from '../store/early-decodes.ts';
import { request } from './bucket.ts';
import type { Bucket, BucketObject } from './bucket.ts';

/**
 * What became of looking at an object.
 *
 * - `sound`: everything that was read is as it must be. - `damaged`: a check failed; the store takes
 * it for a miss. - `newer`: a newer version wrote it. - `foreign`: it is no frame, by its name.
 * - `gone`: it was removed meanwhile.
 */
export interface FrameLook {
  readonly verdict: 'sound' | 'damaged' | 'newer' | 'foreign' | 'gone';
  /** Why it is not sound. */
  readonly reason: string | undefined;
  /** What the header says, when it could be read. It may be what is wrong. */
  readonly header: FrameHeader | undefined;
  /** The tag of the object that was read; undefined when it was not. */
  readonly etag?: string | undefined;
  /** The payload of an object of the v1 format, which has no header. */
  readonly legacyPayload?: LegacyPayload | undefined;
}

export interface LegacyPayload {
  readonly byteLength: number;
  readonly blake3: string;
  /** The bucket keeps an MD5 of the body, and it was compared. */
  readonly isMd5Checked: boolean;
}

/**
 * Reads the header and compares it with the object's name and length. An object of the v1 format has
 * none: of it nothing is read, and its name is all there is to be sound.
 */
export async function lookAtHeader(bucket: Bucket, object: BucketObject): Promise<FrameLook> {
  if (object.legacyName !== undefined) {
    return { verdict: 'sound', reason: undefined, header: undefined, etag: object.info.etag };
  }
  const range = { offset: 0, length: limits.frameHeaderBytesMax };
  return look(bucket, object, range, () => undefined);
}

/** Reads all of the object and checks every byte of it. Blocks the thread while it decodes. */
export async function verifyObject(bucket: Bucket, object: BucketObject): Promise<FrameLook> {
  if (object.kind === 'v1') return verifyLegacy(bucket, object);
  return look(bucket, object, undefined, (header, bytes) => {
    checkPlausible(header, object.name);
    const stored = bytes.subarray(frameHeaderLength(header.following.length));
    const target = header.codec === 'raw' ? undefined : new Uint8Array(header.rawLength);
    decodeNow({ header, stored, target }, loadZstd);
  });
}

/**
 * A v1 body is whole when it decodes and, where the bucket keeps an MD5 of it, has that; the format
 * itself has no checksum.
 */
async function verifyLegacy(bucket: Bucket, { info }: BucketObject): Promise<FrameLook> {
  const body = await request(bucket, (signal) => bucket.objects.get(info.key, { signal }));
  if (body === undefined) {
    return { verdict: 'gone', reason: 'it was removed meanwhile', header: undefined };
  }
  try {
    const actual = body.md5 === undefined ? undefined : md5Hex(body.bytes);
    if (actual !== body.md5) {
      throw new StoreError('CORRUPT', `MD5 ${actual}, and the bucket says ${body.md5}`);
    }
    const payload = decodeLegacyBody(body.bytes, loadZstd());
    const isMd5Checked = actual !== undefined;
    const stream = blake3Stream();
    stream.update(payload);
    const digest = { byteLength: payload.length, blake3: stream.digestHex() };
    const legacyPayload = { ...digest, isMd5Checked };
    const { etag } = body.info;
    return { verdict: 'sound', reason: undefined, header: undefined, etag, legacyPayload };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    const { etag } = body.info;
    return { verdict: 'damaged', reason: messageOf(error), header: undefined, etag };
  }
}

async function look(
  bucket: Bucket,
  { info, name }: BucketObject,
  range: { readonly offset: number; readonly length: number } | undefined,
  checkPayload: (header: FrameHeader, bytes: Uint8Array) => void,
): Promise<FrameLook> {
  if (name === undefined) {
    const reason = 'its name is not one of this version';
    return { verdict: 'foreign', reason, header: undefined };
  }
  const body = await request(bucket, (signal) => bucket.objects.get(info.key, { range, signal }));
  if (body === undefined) {
    return { verdict: 'gone', reason: 'it was removed meanwhile', header: undefined };
  }
  let header: FrameHeader | undefined;
  const { etag } = body.info;
  try {
    header = decodeFrameHeader(body.bytes);
    checkFrame(header, { ...expectedOf(name), byteLength: body.info.byteLength });
    checkPayload(header, body.bytes);
    return { verdict: 'sound', reason: undefined, header, etag };
  } catch (error) {
    if (!isStoreError(error)) throw error;
    const verdict = error.code === 'INCOMPATIBLE' ? 'newer' : 'damaged';
    return { verdict, reason: messageOf(error), header, etag };
  }
}

function expectedOf(name: ParsedObjectKey): Parameters<typeof checkFrame>[1] {
  const namespaceDigest = namespaceDigestOf(name.namespace);
  switch (name.kind) {
    case 'block':
      return { kind: name.kind, key: name.key, namespaceDigest };
    case 'tail':
      return { kind: name.kind, key: name.digest, namespaceDigest };
    case 'raw-tail':
      return { kind: name.kind, key: name.tip, namespaceDigest };
    default:
      return name satisfies never;
  }
}

/**
 * What no checksum tells: a frame that a writer made whole, and wrongly. Nothing follows a tail, no
 * block follows itself or its parent, and a tail covers what its name says.
 */
function checkPlausible(header: FrameHeader, name: ParsedObjectKey | undefined): void {
  const { key, kind, parent, tokens, following } = header;
  if (kind !== 'block' && following.length > 0) {
    throw new StoreError('CORRUPT', `frame of ${key} is a ${kind} and lists following keys`);
  }
  const chain = [key, ...(parent === undefined ? [] : [parent]), ...following];
  if (new Set(chain).size < chain.length) {
    throw new StoreError('CORRUPT', `frame of ${key} lists a key of its chain twice`);
  }
  if (name?.kind !== 'tail') return;
  // A header cannot tell a tip of zeros from none.
  const isOfTip = parent === undefined || parent === name.tip;
  if (isOfTip && tokens === name.tokens) return;
  const named = `a tail of ${name.tokens} tokens of ${name.tip}`;
  throw new StoreError('CORRUPT', `frame of ${key} is not ${named}, as its name says`);
}
