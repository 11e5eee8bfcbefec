import { momentOf } from '../../platform/calendar.ts';
import { messageOf } from '../../base/errors.ts';
import { parseObjectKey } from '../object-key.ts';
import { objectLimits } from '../object-limits.ts';
import type { ObjectInfo, ObjectPage } from '../object-store.ts';
import type { S3Connection } from './s3-connection.ts';
import { plainEtag, strange, wholeSeconds } from './s3-object-facts.ts';
import { childText, parseXml } from './s3-xml.ts';
import type { XmlElement } from './s3-xml.ts';

export interface ListRequest {
  readonly prefix: string;
  readonly startAfter: string | undefined;
  readonly limit: number;
  /** Cut off the front of every key: the part of the bucket that the store is. */
  readonly root: string;
  readonly signal: AbortSignal;
}

/** One page of a list. Keys come percent-encoded, because XML cannot hold all of them. */
export async function listPage(
  connection: S3Connection,
  { prefix, startAfter, limit, root, signal }: ListRequest,
): Promise<ObjectPage> {
  const what = `list of ${prefix}`;
  const response = await connection.send({
    ...{ what, method: 'GET', signal },
    query: {
      'encoding-type': 'url',
      'list-type': '2',
      'max-keys': String(limit),
      prefix: root + prefix,
      ...(startAfter === undefined || startAfter === ''
        ? {}
        : { 'start-after': root + startAfter }),
    },
    receive: () => ({ kind: 'collect', byteLengthMax: objectLimits.s3ListBytesMax }),
  });
  const page = parseXml(response.body, what);
  if (page.name !== 'ListBucketResult') throw strange(what, `a ${page.name} instead of a list`);
  const isEncoded = childText(page, 'EncodingType') === 'url';
  const objects = page.children
    .filter(({ name }) => name === 'Contents')
    .map((element) => objectOf(element, { what, root, isEncoded }));
  if (objects.length > limit) throw strange(what, `${objects.length} objects, more than ${limit}`);
  const isTruncated = childText(page, 'IsTruncated') === 'true';
  if (isTruncated && objects.length === 0)
    throw strange(what, 'no objects, and says there are more');
  return { objects, isTruncated };
}

function objectOf(
  element: XmlElement,
  { what, root, isEncoded }: { what: string; root: string; isEncoded: boolean },
): ObjectInfo {
  const field = (name: string): string => {
    const text = childText(element, name);
    if (text === undefined) throw strange(what, `an object without ${name}`);
    return text;
  };
  const key = keyOf(field('Key'), what, isEncoded);
  const byteLength = Number(field('Size'));
  const modifiedMs = momentOf(field('LastModified'));
  if (!key.startsWith(root)) throw strange(what, `the key ${key}, which is not below ${root}`);
  if (!Number.isSafeInteger(byteLength) || byteLength < 0 || modifiedMs === undefined) {
    throw strange(what, `a size or a time of ${key} that is none`);
  }
  return {
    key: parseObjectKey(key.slice(root.length)),
    byteLength,
    etag: plainEtag(field('ETag')),
    modifiedMs: wholeSeconds(modifiedMs),
  };
}

function keyOf(text: string, what: string, isEncoded: boolean): string {
  if (!isEncoded) return text;
  try {
    // As in forms: a plus sign stands for a space, and is itself encoded.
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch (error) {
    throw strange(what, `a key that is not well encoded: ${messageOf(error)}`);
  }
}
