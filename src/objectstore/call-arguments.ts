import { messageOf, StoreError } from '../base/errors.ts';
import { faultOfKeyText, parseObjectKey, quoted } from './object-key.ts';
import { objectLimits } from './object-limits.ts';
import type { ByteRange, GetOptions, ListOptions, ObjectBody, ObjectKey } from './object-store.ts';

/** Throws `INVALID` unless the key is one: callers without types get here too. */
export function requireKey(key: ObjectKey): void {
  try {
    parseObjectKey(key);
  } catch (error) {
    throw new StoreError('INVALID', messageOf(error), { cause: error });
  }
}

/** Throws `INVALID` unless both ends of the range are whole numbers from 0. */
function requireRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  if (isCount(range.offset) && isCount(range.length)) return;
  throw new StoreError(
    'INVALID',
    `range of ${range.length} bytes from ${range.offset}: both must be whole numbers from 0`,
  );
}

/** Throws `INVALID` unless the options of a get go together. */
export function requireGetOptions({ range, unlessEtag }: GetOptions): void {
  requireRange(range);
  if (range === undefined || unlessEtag === undefined) return;
  throw new StoreError('INVALID', 'a range is not asked for by unlessEtag');
}

/** The answer to a get by `unlessEtag` that finds the object of that tag. */
export function unchangedBody(key: ObjectKey, etag: string): ObjectBody {
  const info = { key, byteLength: 0, etag, modifiedMs: 0 };
  return { info, bytes: new Uint8Array(0), isUnchanged: true };
}

/** Throws `INVALID` unless prefix, start and limit are usable. The limit that holds. */
export function requireListArguments(prefix: string, options: ListOptions): number {
  const prefixFault = faultOfKeyText(prefix);
  if (prefixFault !== undefined) {
    throw new StoreError('INVALID', `prefix ${quoted(prefix)} ${prefixFault}`);
  }
  const startFault = faultOfKeyText(options.startAfter ?? '');
  if (startFault !== undefined) {
    throw new StoreError('INVALID', `startAfter ${quoted(options.startAfter ?? '')} ${startFault}`);
  }
  const limit = options.limit ?? objectLimits.pageObjectsMax;
  if (isCount(limit) && limit >= 1 && limit <= objectLimits.pageObjectsMax) return limit;
  throw new StoreError('INVALID', `limit ${limit} is not 1 to ${objectLimits.pageObjectsMax}`);
}

/** The part of the range that the object has; all of the object without a range. */
export function cutRange(range: ByteRange | undefined, byteLength: number): ByteRange {
  if (range === undefined) return { offset: 0, length: byteLength };
  const offset = Math.min(range.offset, byteLength);
  return { offset, length: Math.min(range.length, byteLength - offset) };
}

/** Memory for a body of the length: the caller's, or new when it gives none. */
export function memoryForBody(options: GetOptions, byteLength: number): Uint8Array {
  if (options.allocate === undefined) {
    if (byteLength <= objectLimits.unaskedBodyBytesMax) return new Uint8Array(byteLength);
    throw new StoreError(
      'TOO_LARGE',
      `a body of ${byteLength} bytes exceeds ${objectLimits.unaskedBodyBytesMax} without allocate`,
    );
  }
  const bytes = options.allocate(byteLength);
  if (bytes.length === byteLength) return bytes;
  throw new StoreError('INVALID', `allocate gave ${bytes.length} bytes instead of ${byteLength}`);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
