import { isStoreError, messageOf } from '../base/errors.ts';
import { mapBounded } from '../base/map-bounded.ts';
import { limits } from '../blocks/limits.ts';
import type { ObjectInfo } from '../objectstore/object-store.ts';
import { pagesOf, request } from './bucket.ts';
import type { Bucket, BucketObject } from './bucket.ts';
import { ByteGate } from './byte-gate.ts';
import { verifyObject } from './frame-look.ts';
import type { FrameLook } from './frame-look.ts';
import type { Progress } from './progress.ts';
import { formatBytes, formatCount } from './quantity.ts';

/** An object that is not as it must be, or that could not be read. */
export interface ObjectFinding {
  readonly objectKey: string;
  readonly kind: BucketObject['kind'];
  readonly namespace: string | undefined;
  readonly verdict: 'damaged' | 'unreadable';
  readonly reason: string;
  /**
   * What repair did. `changed`: it was replaced or removed meanwhile. `left`: it is not ours to
   * remove. Undefined when nobody asked.
   */
  readonly repair: 'removed' | 'changed' | 'left' | undefined;
}

export interface BucketAudit {
  readonly objects: number;
  readonly bytes: number;
  readonly byVerdict: Readonly<Record<FrameLook['verdict'] | 'unreadable', number>>;
  readonly removed: number;
  /** The first of them; the counts have all. */
  readonly findings: readonly ObjectFinding[];
}

export interface BucketAuditOptions {
  /** What the keys to look at begin with. */
  readonly beginning: string;
  readonly isRepair: boolean;
  readonly progress: Progress;
}

/** Stored bytes in memory at once, besides one payload that is being decoded. */
const bytesInFlightMax = 256 * 1024 * 1024;
/** Findings that are kept to be told. */
const findingsMax = 1000;

/**
 * Reads every object and checks every byte of it. The bucket may be in use: what is written
 * meanwhile may be missed, what is removed meanwhile is no finding, and damage counts when a second
 * reading finds it too.
 */
export async function auditBucket(
  bucket: Bucket,
  options: BucketAuditOptions,
): Promise<BucketAudit> {
  const { beginning, progress } = options;
  const total = await countObjects(bucket, beginning, progress);
  const gate = new ByteGate(bytesInFlightMax);
  const byVerdict = { sound: 0, damaged: 0, newer: 0, foreign: 0, gone: 0, unreadable: 0 };
  const findings: ObjectFinding[] = [];
  let [objects, bytes, removed] = [0, 0, 0];
  progress.begin('checking objects');
  for await (const page of pagesOf(bucket, beginning)) {
    await mapBounded(page, limits.fetchesInFlightMax, async (object) => {
      const result = await gate.run(object.info.byteLength, () => auditObject(bucket, object));
      objects += 1;
      bytes += object.info.byteLength;
      byVerdict[result.verdict] += 1;
      progress.update({ activity: '', done: bytes, total: Math.max(total, bytes), isBytes: true });
      if (result.verdict !== 'damaged' && result.verdict !== 'unreadable') return;
      const finding = await repaired(bucket, object, result, options.isRepair);
      if (finding.repair === 'removed') removed += 1;
      if (findings.length < findingsMax) findings.push(finding);
    });
  }
  progress.end(`${formatCount(objects)} objects, ${formatBytes(bytes)}`);
  return { objects, bytes, byVerdict, removed, findings };
}

/** What became of reading an object; `unreadable` when the object store did not give it. */
type ObjectResult = Omit<FrameLook, 'verdict'> & { verdict: FrameLook['verdict'] | 'unreadable' };

/** Bytes of all objects: a list costs little beside reading what it names. */
async function countObjects(
  bucket: Bucket,
  beginning: string,
  progress: Progress,
): Promise<number> {
  progress.begin('listing objects');
  let [objects, bytes] = [0, 0];
  for await (const page of pagesOf(bucket, beginning)) {
    objects += page.length;
    for (const { info } of page) bytes += info.byteLength;
    progress.update({ activity: `${formatCount(objects)} objects` });
  }
  progress.end(`${formatCount(objects)} objects, ${formatBytes(bytes)}`);
  return bytes;
}

async function auditObject(bucket: Bucket, object: BucketObject): Promise<ObjectResult> {
  try {
    const look = await verifyObject(bucket, object);
    return look.verdict === 'damaged' ? await verifyObject(bucket, object) : look;
  } catch (error) {
    if (!isStoreError(error)) throw error;
    return { verdict: 'unreadable', reason: messageOf(error), header: undefined };
  }
}

async function repaired(
  bucket: Bucket,
  object: BucketObject,
  result: ObjectResult,
  isRepair: boolean,
): Promise<ObjectFinding> {
  const { info, kind, namespace } = object;
  const verdict = result.verdict === 'damaged' ? 'damaged' : 'unreadable';
  const repair =
    isRepair && verdict === 'damaged' ? await removeIfSame(bucket, object, result.etag) : undefined;
  return { objectKey: info.key, kind, namespace, verdict, reason: result.reason ?? '', repair };
}

/**
 * Removes the damaged object when its tag is still that of the bytes that were found damaged. Who
 * replaces it between the two requests loses an object and not a payload: the next save of it finds
 * it absent.
 */
async function removeIfSame(
  bucket: Bucket,
  { info, name }: BucketObject,
  etag: string | undefined,
): Promise<'removed' | 'changed' | 'left'> {
  if (name === undefined) return 'left';
  const { objects } = bucket;
  const now: ObjectInfo | undefined = await request(bucket, (signal) =>
    objects.head(info.key, { signal }),
  );
  if (now === undefined || now.etag !== etag) return 'changed';
  await request(bucket, (signal) => objects.delete(info.key, { signal }));
  return 'removed';
}
