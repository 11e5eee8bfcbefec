import { isStoreError } from '../base/errors.ts';
import type { ObjectFormat } from '../format/object-keys.ts';
import type { Found } from './payload-objects.ts';

/** Nothing is there. */
export const absent: Found<never> = { state: 'absent' };

/** What the checks that `open` makes say of an object of that format and tag. */
export async function judgeObject<Value>(
  { format, etag }: { readonly format: ObjectFormat; readonly etag: string },
  open: () => Promise<Value>,
): Promise<Found<Value>> {
  try {
    return { state: 'there', format, value: await open() };
  } catch (error) {
    if (isStoreError(error, 'CORRUPT')) {
      return { state: 'damaged', format, etag, reason: error.message };
    }
    if (isStoreError(error, 'INCOMPATIBLE')) return { state: 'incompatible' };
    throw error;
  }
}

/** What a get tells of an object of that format: what its judgement was, if there was any. */
export function fetchedFrom<Value>(
  format: ObjectFormat,
  found: Found<Value> | 'unchanged' | undefined,
): Found<Value | 'unchanged'> {
  if (found === undefined) return absent;
  return found === 'unchanged' ? { state: 'there', format, value: found } : found;
}
